// Writing and reading placements.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/placement.hpp"

#include <algorithm>
#include <charconv>

#include "models/checkpoint/json.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int version = 1;
constexpr char not_here = '?';
constexpr uint64_t most_bytes = uint64_t{1} << 34;

bool is_kind(char c) { return (c >= 'a' && c < 'a' + most_kinds) || c == no_kind; }

std::string first_line(const RunPlans& plans, const std::vector<std::string>& kinds) {
  Json of{{"train", plans.train}};
  if (!plans.validation.empty()) of["validation"] = plans.validation;
  return Json{{"tessera_placement", version}, {"tiling", plans.tiling}, {"plans", of}, {"kinds", kinds}}
             .dump() +
         '\n';
}

std::string choices_line(const ChoicesByKind& choices) { return Json{{"choices", choices}}.dump() + '\n'; }

std::string step_line(const StepKey& key, const std::string& packed) {
  Json line;
  if (key.batch < 0)
    line = {{"step", key.step}};
  else
    line = {{"validation", key.step}, {"batch", key.batch}};
  line["tasks"] = packed;
  return line.dump() + '\n';
}

// One line after the other into a RunPlacement. What is not as it was written throws nlohmann's exception.
class Reader {
 public:
  explicit Reader(std::string source) : source_(std::move(source)) {}
  RunPlacement read(std::string_view text) {
    for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
      const std::string where = fmt::format("{}: line {}", source_, ++n_lines_);
      const nlohmann::json line = parse_json(text.substr(0, end), where);
      try {
        n_lines_ == 1 ? first(line) : next(line, where);
      } catch (const nlohmann::json::exception&) {
        throw error("{} is no line of a recorded placement", where);
      }
    }
    if (n_lines_ == 0) throw error("{}: is no recorded placement", source_);
    return std::move(run_);
  }

 private:
  void first(const nlohmann::json& line) {
    if (line.at("tessera_placement") != version)
      throw error("{}: is of version {}, not {}", source_, shown(line.at("tessera_placement").dump()),
                  version);
    const nlohmann::json& plans = line.at("plans");
    run_.plans = {line.at("tiling").get<std::string>(), plans.at("train").get<std::string>(),
                  plans.value("validation", "")};
    run_.kinds = line.at("kinds").get<std::vector<std::string>>();
    if (run_.kinds.size() > most_kinds) throw error("{}: names {} kinds", source_, run_.kinds.size());
  }

  void next(const nlohmann::json& line, const std::string& where) {
    if (line.contains("choices")) {
      for (auto& [kind, choices] : line.at("choices").get<ChoicesByKind>()) run_.choices[kind].merge(choices);
      return;
    }
    StepKey key;
    if (line.contains("step"))
      key.step = line.at("step").get<int64_t>();
    else
      key = {line.at("validation").get<int64_t>(), line.at("batch").get<int64_t>()};
    if (!run_.tasks.emplace(key, line.at("tasks").get<std::string>()).second)
      throw error("{}: what it says was said before", where);
  }

  std::string source_;
  int64_t n_lines_ = 0;
  RunPlacement run_;
};

// The file letter of each kind here; kinds that the file does not have yet are added to it.
std::string letters_in_file(std::vector<std::string>& kinds, const WorkerKinds& here, const fs::path& file) {
  std::string letters;
  for (const std::string& name : here.names) {
    auto known = std::find(kinds.begin(), kinds.end(), name);
    if (known == kinds.end()) known = kinds.insert(kinds.end(), name);
    letters += letter_of(static_cast<int>(known - kinds.begin()));
  }
  if (kinds.size() > most_kinds)
    throw error("{}: takes at most {} kinds of workers", file.string(), most_kinds);
  return letters;
}

void check_plans(const RunPlans& recorded, const RunPlans& now, const fs::path& file) {
  if (recorded.train == now.train && (recorded.validation == now.validation || now.validation.empty()))
    return;
  throw error(
      "{}: was recorded of another plan (tiling = \"{}\"); use the configuration and the kinds of devices it "
      "was recorded with",
      file.string(), recorded.tiling);
}

}  // namespace

std::string packed_kinds(std::string_view kinds) {
  std::string text;
  for (size_t at = 0; at < kinds.size();) {
    const size_t end = std::min(kinds.find_first_not_of(kinds[at], at), kinds.size());
    text += end - at == 1 ? std::string(1, kinds[at]) : fmt::format("{}{}", end - at, kinds[at]);
    at = end;
  }
  return text;
}

std::string unpacked_kinds(std::string_view text, size_t most, std::string_view source) {
  std::string kinds;
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at != end; ++at) {
    size_t count = 1;
    if (const auto [after, problem] = std::from_chars(at, end, count); problem == std::errc()) at = after;
    if (at == end || !is_kind(*at) || count > most - kinds.size())
      throw error("{}: its tasks are no list of kinds for this plan", source);
    kinds.append(count, *at);
  }
  return kinds;
}

RunPlacement RunPlacement::read(const fs::path& file) {
  return Reader(file.string()).read(read_file(file, most_bytes));
}

int64_t RunPlacement::last_step() const {
  int64_t last = 0;
  for (const auto& [key, packed] : tasks) last = std::max(last, key.step);
  return last;
}

void Replay::check(const RunPlans& plans, const WorkerKinds& here, int64_t next) {
  letters_.clear();
  for (const std::string& name : run_.kinds) {
    const int kind = here.find(name);
    letters_ += kind == any_kind ? not_here : letter_of(kind);
  }
  check_kinds();
  check_plans(run_.plans, plans, file_);
  train_tasks_ = plans.train_tasks;
  validation_tasks_ = plans.validation_tasks;
  for (const auto& [key, packed] : run_.tasks)
    if (key.batch < 0 || validation_tasks_ > 0) tasks(key);
  if (!run_.tasks.contains({next}) && run_.last_step() > 0)
    throw error("{}: has no step {}; it was recorded from step {} to {}", file_.string(), next,
                run_.tasks.begin()->first.step, run_.last_step());
}

void Replay::check_kinds() const {
  for (const auto& [key, packed] : run_.tasks)
    for (const char c : packed) {
      if (c < 'a' || c >= 'a' + most_kinds) continue;
      const auto kind = static_cast<size_t>(c - 'a');
      if (kind >= run_.kinds.size())
        throw error("{}: step {} has a kind '{}', which it does not name", file_.string(), key.step, c);
      if (letters_[kind] == not_here)
        throw error("{}: tasks ran on {}, and no worker here is of that kind; see --devices", file_.string(),
                    shown(run_.kinds[kind]));
    }
}

std::string Replay::tasks(const StepKey& key) const {
  const auto found = run_.tasks.find(key);
  if (found == run_.tasks.end()) return {};
  const size_t count = key.batch < 0 ? train_tasks_ : validation_tasks_;
  const std::string source = fmt::format("{}: step {}", file_.string(), key.step);
  std::string kinds = unpacked_kinds(found->second, count, source);
  if (kinds.size() != count) throw error("{}: lists {} of {} tasks", source, kinds.size(), count);
  for (char& c : kinds)
    if (c != no_kind) c = letters_[static_cast<size_t>(c - 'a')];
  return kinds;
}

PlacementRecorder::PlacementRecorder(fs::path file, const RunPlans& plans, const WorkerKinds& here,
                                     int64_t steps) {
  RunPlacement before;
  before.plans = plans;
  if (steps > 0 && fs::exists(file)) {
    before = RunPlacement::read(file);
    check_plans(before.plans, plans, file);
  }
  letters_ = letters_in_file(before.kinds, here, file);
  std::string text = first_line(plans, before.kinds);
  if (!before.choices.empty()) text += choices_line(before.choices);
  for (const auto& [key, packed] : before.tasks)
    if (key.step <= steps) text += step_line(key, packed);
  lines_ = std::make_unique<LineFile>(std::move(file), text);
}

void PlacementRecorder::choices(const ChoicesByKind& choices) { lines_->append(choices_line(choices)); }

void PlacementRecorder::step(const StepKey& key, std::string kinds) {
  for (char& c : kinds)
    if (c != no_kind) c = letters_[static_cast<size_t>(c - 'a')];
  lines_->append(step_line(key, packed_kinds(kinds)));
}

}  // namespace tessera
