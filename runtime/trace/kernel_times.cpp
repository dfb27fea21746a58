// The workers' time by kernel, and what they did in between.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/trace/timeline.hpp"
#include "runtime/trace/trace.hpp"

namespace tessera {
namespace {

constexpr double ns = 1e-9;

// At `at`, that many more tasks wait for a worker, or `worker` starts (+1) or stops (-1) being free.
struct Change {
  int64_t at;
  int waiting = 0, free = 0, worker = -1;
};

std::vector<Change> changes_in(const Recording& recording, const Timeline& timeline) {
  std::vector<Change> changes;
  for (int64_t step = timeline.first_step(); step < timeline.first_step() + timeline.steps(); ++step)
    for (size_t t = 0; t < recording.plan.tasks.size(); ++t)
      if (const Timeline::Run& run = timeline.run(step, t); run.worker >= 0 && run.ready < run.begin) {
        changes.push_back({.at = run.ready, .waiting = 1});
        changes.push_back({.at = run.begin, .waiting = -1});
      }
  for (size_t w = 0; w < recording.workers.size(); ++w) {
    int64_t since = timeline.begin();
    auto gap = [&](int64_t until) {
      if (until <= since) return;
      changes.push_back({.at = since, .free = 1, .worker = static_cast<int>(w)});
      changes.push_back({.at = until, .free = -1, .worker = static_cast<int>(w)});
    };
    for (const Record& record : recording.workers[w]) {
      gap(record.begin);
      since = record.end;
    }
    gap(timeline.end());
  }
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) { return a.at < b.at; });
  return changes;
}

}  // namespace

double KernelTimes::total(double Worker::* part) const {
  double sum = 0;
  for (const Worker& worker : workers) sum += worker.*part;
  return sum;
}

KernelTimes kernel_times(const Recording& recording) {
  const Timeline timeline(recording);
  KernelTimes times;
  times.workers.resize(recording.workers.size());
  times.steps = timeline.steps();
  times.span = static_cast<double>(timeline.end() - timeline.begin()) * ns;
  if (timeline.steps() == 0) return times;
  for (const auto& list : recording.workers)
    for (const Record& record : list) {
      const Stage& stage =
          recording.plan.tasks[static_cast<size_t>(record.task)].stages[static_cast<size_t>(record.stage)];
      const double seconds = static_cast<double>(record.end - record.begin) * ns;
      KernelTimes::Kernel& kernel = times.kernels[std::string(stage.kernel->name)];
      kernel.seconds += seconds;
      kernel.flops += stage.flops;
      ++kernel.calls;
      times.workers[static_cast<size_t>(record.worker)].busy += seconds;
    }

  int waiting = 0;
  std::vector<int> free;
  int64_t now = timeline.begin();
  for (const Change& change : changes_in(recording, timeline)) {
    if (const double seconds = static_cast<double>(change.at - now) * ns; seconds > 0 && !free.empty()) {
      const auto n = static_cast<double>(free.size());
      const double engine = std::min(static_cast<double>(waiting), n) / n;
      for (int worker : free) {
        times.workers[static_cast<size_t>(worker)].engine += seconds * engine;
        times.workers[static_cast<size_t>(worker)].idle += seconds * (1 - engine);
      }
    }
    now = change.at;
    waiting += change.waiting;
    if (change.free > 0) free.push_back(change.worker);
    if (change.free < 0) std::erase(free, change.worker);
  }
  return times;
}

}  // namespace tessera
