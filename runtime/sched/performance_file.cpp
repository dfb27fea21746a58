// What was measured, in a file per machine: JSON, whole or not at all.
// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <fmt/format.h>
#include <link.h>
#include <spdlog/spdlog.h>
#include <xxhash.h>

#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/device/cache.hpp"
#include "runtime/sched/performance_model.hpp"

namespace tessera {
namespace {

using Json = nlohmann::json;

constexpr int format = 1;
constexpr uint64_t most_bytes = 64 << 20;

Json as_json(const Peaks& peaks) {
  return {{"f32_flops", peaks.f32_flops},
          {"bf16_flops", peaks.bf16_flops},
          {"memory_bytes", peaks.memory_bytes},
          {"to_device_bytes", peaks.to_device_bytes},
          {"from_device_bytes", peaks.from_device_bytes},
          {"task_seconds", peaks.task_seconds}};
}

// Whatever a damaged file says, expectations stay numbers that can be compared.
double positive(const Json& value, bool or_zero = false) {
  const auto number = value.get<double>();
  if (!(number > 0 || (or_zero && number == 0)) || number > 1e30) throw error("{} is no measurement", number);
  return number;
}

Peaks parsed_peaks(const Json& json) {
  const auto rate = [&](const char* name) { return positive(json.at(name), true); };
  return {.f32_flops = rate("f32_flops"),
          .bf16_flops = rate("bf16_flops"),
          .memory_bytes = rate("memory_bytes"),
          .to_device_bytes = rate("to_device_bytes"),
          .from_device_bytes = rate("from_device_bytes"),
          .task_seconds = rate("task_seconds")};
}

// One warning in a process: several sessions may read the same file.
void warn_once(const std::filesystem::path& file, const std::string& what) {
  static std::mutex mutex;
  static std::set<std::filesystem::path> told;
  std::lock_guard lock(mutex);
  if (told.insert(file).second)
    spdlog::warn("{} {}; it is begun anew, and tessera calibrate fills it", file.string(), what);
}

// The library's build id, which the linker makes from its contents.
int find_build_id(dl_phdr_info* info, size_t, void* found) {
  const auto here = reinterpret_cast<ElfW(Addr)>(&find_build_id);
  const ElfW(Phdr)* headers = info->dlpi_phdr;
  bool ours = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Addr) begin = info->dlpi_addr + headers[i].p_vaddr;
    ours = ours || (headers[i].p_type == PT_LOAD && here >= begin && here < begin + headers[i].p_memsz);
  }
  if (!ours) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (headers[i].p_type != PT_NOTE) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    const auto* at = reinterpret_cast<const std::byte*>(info->dlpi_addr + headers[i].p_vaddr);
    const std::byte* const end = at + headers[i].p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
      const std::byte* id = at + sizeof *note + (note->n_namesz + 3) / 4 * 4;
      if (note->n_type == NT_GNU_BUILD_ID) {
        auto& text = *static_cast<std::string*>(found);
        for (unsigned k = 0; k < note->n_descsz; ++k)
          text += fmt::format("{:02x}", static_cast<unsigned>(id[k]));
        return 1;
      }
      at = id + (note->n_descsz + 3) / 4 * 4;
    }
  }
  return 1;
}

}  // namespace

const std::string& build_name() {
  static const std::string name = [] {
    std::string id;
    dl_iterate_phdr(find_build_id, &id);
    return id.empty() ? std::string("unnamed") : id;
  }();
  return name;
}

std::filesystem::path performance_file() {
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return {};
  const std::string machine = Machine::here().to_string();
  return folder / fmt::format("performance-{:016x}.json", XXH3_64bits(machine.data(), machine.size()));
}

PerformanceModel::PerformanceModel(std::filesystem::path file) : file_(std::move(file)) {
  if (file_.empty() || !std::filesystem::exists(file_)) return;
  try {
    read();
  } catch (const std::exception&) {
    peaks_.clear();
    saved_.clear();
    warn_once(file_, "is damaged");
  }
}

void PerformanceModel::read() {
  const Json json = Json::parse(read_file(file_, most_bytes));
  if (json.at("format") != format || json.at("machine") != Machine::here().to_string() ||
      json.at("build") != build_name())
    return warn_once(file_, "was measured by another build of Tessera");
  for (const auto& [kind, peaks] : json.at("kinds").items()) peaks_[kind] = parsed_peaks(peaks);
  for (const auto& [text, kinds] : json.at("tasks").items()) {
    size_t used = 0;
    const uint64_t footprint = std::stoull(text, &used, 16);
    if (used != text.size()) throw error("{} is no footprint", text);
    for (const auto& [kind, saved] : kinds.items())
      saved_[footprint][kind] = {positive(saved.at(0)), saved.at(1).get<int>()};
  }
}

void PerformanceModel::save() {
  if (file_.empty()) return;
  for (const auto& [footprint, entry] : entries_)
    for (size_t k = 0; k < kinds_.size(); ++k) {
      Entry::History& history = entry->histories_[k];
      std::lock_guard lock(history.mutex);
      if (history.n >= enough) saved_[footprint][kinds_[k]] = {history.median, history.n};
    }
  Json kinds = Json::object(), tasks = Json::object();
  for (const auto& [kind, peaks] : peaks_) kinds[kind] = as_json(peaks);
  for (const auto& [footprint, known] : saved_) {
    Json& task = tasks[fmt::format("{:016x}", footprint)] = Json::object();
    for (const auto& [kind, saved] : known) task[kind] = {saved.seconds, saved.samples};
  }
  const Json json{{"format", format},
                  {"machine", Machine::here().to_string()},
                  {"build", build_name()},
                  {"kinds", kinds},
                  {"tasks", tasks}};
  try {
    std::filesystem::create_directories(file_.parent_path());
    write_file(file_, json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  } catch (const std::exception& why) {
    spdlog::warn("{}; what was measured is lost", why.what());
  }
}

}  // namespace tessera
