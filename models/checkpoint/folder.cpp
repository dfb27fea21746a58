// Writing, finding and pruning checkpoint folders with renames.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/folder.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <vector>

#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view prefix = "step-";
constexpr std::string_view unfinished = ".tmp";  // being written
constexpr std::string_view replaced = ".old";  // was complete under the name before, stands in until replaced
constexpr std::string_view doomed = ".gone";   // being removed

std::string name_of(int64_t step) { return fmt::format("{}{:06}", prefix, step); }

// A complete checkpoint's name and nothing else.
std::optional<int64_t> step_of(const std::string& name) {
  int64_t step = 0;
  if (!name.starts_with(prefix)) return std::nullopt;
  const char *begin = name.data() + prefix.size(), *end = name.data() + name.size();
  auto [at, failed] = std::from_chars(begin, end, step);
  return failed == std::errc() && at == end && step >= 0 && name == name_of(step) ? std::optional(step)
                                                                                  : std::nullopt;
}

fs::path hidden(const fs::path& checkpoints, const std::string& name, std::string_view suffix) {
  return checkpoints / ("." + name + std::string(suffix));
}

std::vector<Checkpoint> list(const fs::path& checkpoints) {
  std::vector<Checkpoint> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints))
    if (auto step = step_of(entry.path().filename().string()); step && entry.is_directory())
      found.push_back({*step, entry.path()});
  std::ranges::sort(found, {}, &Checkpoint::step);
  return found;
}

// Out of sight by one rename first: a kill while removing leaves no half of a checkpoint under its name.
void remove(const fs::path& checkpoints, const fs::path& checkpoint) {
  fs::path away = hidden(checkpoints, checkpoint.filename().string(), doomed);
  fs::remove_all(away);
  fs::rename(checkpoint, away);
  fs::remove_all(away);
}

void prune(const fs::path& checkpoints, int64_t step, int64_t keep) {
  std::vector<Checkpoint> found = list(checkpoints);
  std::erase_if(found, [&](const Checkpoint& c) { return c.step > step; });
  for (int64_t i = 0; i + keep < static_cast<int64_t>(found.size()); ++i)
    remove(checkpoints, found[static_cast<size_t>(i)].folder);
}

// The step may have a checkpoint already, of a run that was repeated: it steps aside until the new one is in
// place.
void put_in_place(const fs::path& checkpoints, const fs::path& written, const std::string& name) {
  fs::path final = checkpoints / name, aside = hidden(checkpoints, name, replaced);
  if (fs::exists(final)) fs::rename(final, aside);
  fs::rename(written, final);
  sync_folder(checkpoints);
  fs::remove_all(aside);
}

[[noreturn]] void rethrow(const fs::path& checkpoints, const fs::filesystem_error& failed) {
  auto reason = failed.code();
  fs::path at = failed.path1().empty() ? checkpoints : failed.path1();
  for (auto mistake :
       {std::errc::permission_denied, std::errc::read_only_file_system, std::errc::not_a_directory,
        std::errc::file_exists, std::errc::operation_not_permitted})
    if (reason == mistake)
      throw error("{}: no checkpoint can be written there ({}); choose another output folder", at.string(),
                  reason.message());
  throw failure("{}: checkpoint not written: {}", at.string(), reason.message());
}

}  // namespace

Checkpoint write_checkpoint(const fs::path& checkpoints, int64_t step, int64_t keep,
                            const std::function<void(const fs::path&)>& fill) {
  if (step < 0 || keep < 1)
    throw error("checkpoint of step {}, keeping {}: neither may be negative", step, keep);
  std::string name = name_of(step);
  fs::path writing = hidden(checkpoints, name, unfinished);
  try {
    fs::create_directories(checkpoints);
    remove_leftovers(checkpoints);
    fs::create_directory(writing);
    fill(writing);
    sync_tree(writing);
    put_in_place(checkpoints, writing, name);
    prune(checkpoints, step, keep);
  } catch (const fs::filesystem_error& failed) {
    std::error_code ignored;
    fs::remove_all(writing, ignored);
    rethrow(checkpoints, failed);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(writing, ignored);
    throw;
  }
  return {step, checkpoints / name};
}

std::optional<Checkpoint> latest_complete(const fs::path& checkpoints) {
  try {
    if (!fs::exists(checkpoints)) return std::nullopt;
    std::vector<Checkpoint> found = list(checkpoints);
    return found.empty() ? std::nullopt : std::optional(found.back());
  } catch (const fs::filesystem_error& failed) {
    throw error("{}: cannot be searched for checkpoints: {}", checkpoints.string(), failed.code().message());
  }
}

void remove_leftovers(const fs::path& checkpoints) {
  try {
    if (!fs::exists(checkpoints)) return;
    std::vector<fs::path> entries;
    for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints))
      entries.push_back(entry.path());
    for (const fs::path& entry : entries) {
      std::string name = entry.filename().string();
      std::string stem = name.starts_with('.') ? entry.stem().string().substr(1) : "";
      if (!step_of(stem)) continue;
      if (name.ends_with(replaced) && !fs::exists(checkpoints / stem))
        fs::rename(entry, checkpoints / stem);
      else if (name.ends_with(unfinished) || name.ends_with(replaced) || name.ends_with(doomed))
        fs::remove_all(entry);
    }
  } catch (const fs::filesystem_error& failed) {
    rethrow(checkpoints, failed);
  }
}

}  // namespace tessera
