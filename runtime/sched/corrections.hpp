// How far expectations that are only guesses are off, by kernel and kind of worker; for policies.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <unordered_map>

#include "runtime/sched/scheduler.hpp"

namespace tessera {

class Corrections {
 public:
  // What to multiply the guess with: by tasks of that kernel, else of all kernels on that kind of worker.
  double of(std::string_view kernel, WorkerKind kind) const {
    const auto& known = known_[static_cast<size_t>(kind)];
    auto found = known.find(kernel);
    if (found == known.end()) found = known.find("");
    return found == known.end() ? 1 : std::exp(found->second.log);
  }

  void begins(const ReadyTask& task, WorkerKind kind, const Expected& expected) {
    if (expected.young) running_[&task] = {kind, expected.seconds};
  }
  // Means of logarithms, and samples bounded: one disturbed run must not count much.
  void ends(const ReadyTask& task, double seconds) {
    const auto guess = running_.extract(&task);
    if (guess.empty()) return;
    auto& known = known_[static_cast<size_t>(guess.mapped().kind)];
    const double sample = std::clamp(std::log(seconds / guess.mapped().seconds), -4.0, 4.0);
    for (Mean* mean : {&known[std::string(task.kernel)], &known[""]})
      mean->log += (sample - mean->log) * std::max(0.1, 1.0 / ++mean->samples);
  }

 private:
  struct Mean {
    double log = 0;
    int samples = 0;
  };
  struct Guess {
    WorkerKind kind;
    double seconds;
  };
  std::array<std::map<std::string, Mean, std::less<>>, n_worker_kinds> known_;
  std::unordered_map<const ReadyTask*, Guess> running_;
};

}  // namespace tessera
