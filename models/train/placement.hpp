// Where a run's tasks ran, as a file: a run that is recorded can be repeated bit for bit on the same kinds of
// workers.
// SPDX-License-Identifier: Apache-2.0
//
// JSON lines: first what was run, then choices as they are made and a line per step, task for task a letter
// for the kind, "3a" for aaa:
//
//   {"tessera_placement":1,"tiling":"…","plans":{"train":"9f…"},"kinds":["cpu …","opencl …"]}
//   {"choices":{"opencl …":{"matmul f32":"64 256 128 8 32"}}}
//   {"step":1,"tasks":"3ab2aba…"}
//   {"validation":1,"batch":0,"tasks":"…"}
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/file.hpp"
#include "runtime/exec/kinds.hpp"

namespace tessera {

// "aaab" as "3ab", and back; Error naming `source` for what is no such list or longer than `most`.
std::string packed_kinds(std::string_view kinds);
std::string unpacked_kinds(std::string_view text, size_t most, std::string_view source);

// What a run's placement belongs to.
struct RunPlans {
  std::string tiling, train, validation;         // the last two are fingerprints; validation may be empty
  size_t train_tasks = 0, validation_tasks = 0;  // not in the file
};

struct StepKey {
  int64_t step = 0;    // steps done, from 1
  int64_t batch = -1;  // of the validation after it; -1: the step itself
  auto operator<=>(const StepKey&) const = default;
};

// A recorded run. What a killed one left is whole up to its last line.
struct RunPlacement {
  RunPlans plans;
  std::vector<std::string> kinds;
  ChoicesByKind choices;
  std::map<StepKey, std::string> tasks;  // packed

  static RunPlacement read(const std::filesystem::path& file);  // Error unless it is one
  int64_t last_step() const;                                    // 0: none
};

// A recorded run as the workers of this one see it.
class Replay {
 public:
  explicit Replay(std::filesystem::path file) : file_(std::move(file)), run_(RunPlacement::read(file_)) {}

  const RunPlacement& run() const { return run_; }
  // Error where the run was of other plans, or on kinds that are not here, or does not hold step `next`, or
  // lists what no step has.
  void check(const RunPlans& plans, const WorkerKinds& here, int64_t next);
  // In letters of the kinds here, once checked; empty: not recorded.
  std::string tasks(const StepKey& key) const;

 private:
  void check_kinds() const;

  std::filesystem::path file_;
  RunPlacement run_;
  size_t train_tasks_ = 0, validation_tasks_ = 0;
  std::string letters_;  // here, per recorded kind
};

// Writes a line for every step when it is over. A run that goes on from a checkpoint goes on with its file.
class PlacementRecorder {
 public:
  // `steps` were done before.
  PlacementRecorder(std::filesystem::path file, const RunPlans& plans, const WorkerKinds& here,
                    int64_t steps);

  void choices(const ChoicesByKind& choices);
  void step(const StepKey& key, std::string kinds);
  void sync() { lines_->sync(); }

 private:
  std::string letters_;  // in the file, per kind here
  std::unique_ptr<LineFile> lines_;
};

}  // namespace tessera
