// Readiness of tasks, reconstructed from the ends of their predecessors.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/trace/timeline.hpp"

#include <algorithm>
#include <limits>

namespace tessera {

Timeline::Timeline(const Recording& recording) : tasks_(recording.plan.tasks.size()) {
  constexpr int64_t never = std::numeric_limits<int64_t>::max();
  int64_t last = -1;
  first_ = never;
  for (const auto& list : recording.workers)
    for (const Record& record : list) {
      first_ = std::min(first_, record.step);
      last = std::max(last, record.step);
    }
  if (last < 0) {
    first_ = 0;
    return;
  }
  steps_ = last - first_ + 1;
  runs_.resize(static_cast<size_t>(steps_) * tasks_);
  step_begin_.assign(static_cast<size_t>(steps_), never);
  auto run_of = [&](int64_t step, size_t task) -> Run& {
    return runs_[static_cast<size_t>(step - first_) * tasks_ + task];
  };

  begin_ = never;
  for (const auto& list : recording.workers)
    for (const Record& record : list) {
      Run& run = run_of(record.step, static_cast<size_t>(record.task));
      run.begin = run.worker < 0 ? record.begin : std::min(run.begin, record.begin);
      run.end = std::max(run.end, record.end);
      run.worker = record.worker;
      int64_t& begin = step_begin_[static_cast<size_t>(record.step - first_)];
      begin = std::min(begin, record.begin);
      end_ = std::max(end_, record.end);
    }
  for (const StepStart& start : recording.starts)
    if (start.step >= first_ && start.step <= last)
      step_begin_[static_cast<size_t>(start.step - first_)] = start.at;
  begin_ = *std::min_element(step_begin_.begin(), step_begin_.end());

  for (int64_t step = first_; step <= last; ++step)
    for (size_t t = 0; t < tasks_; ++t) run_of(step, t).ready = step_begin(step);
  for (int64_t step = first_; step <= last; ++step)
    for (size_t t = 0; t < tasks_; ++t) {
      const int64_t end = run_of(step, t).end;
      auto delay = [&](Run& later) { later.ready = std::max(later.ready, end); };
      for (int next : recording.plan.tasks[t].next) delay(run_of(step, static_cast<size_t>(next)));
      if (step == last) continue;
      for (int next : recording.plan.tasks[t].next_step) delay(run_of(step + 1, static_cast<size_t>(next)));
    }
  for (Run& run : runs_) run.ready = std::min(run.ready, run.begin);
}

}  // namespace tessera
