// Models of StarPU's policies, for the simulation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "tests/schedulers/small_plan.hpp"

namespace tessera::testing_schedulers {

// StarPU's eager: one queue, first come, first served.
using Eager = Fifo;

// StarPU's dmdas: to the worker that is expected to finish it first, behind all that it was given; its queue
// is sorted by priority, and among equals what has most of its bytes there comes first.
class Dmdas final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load& load) override {
    WorkerId best = -1;
    double best_finish = 0;
    for (WorkerId w : load.workers_for(task)) {
      const double finish = std::max(load.free_at(w), load.now()) + queued_[w] +
                            load.transfer_seconds(task, w) + load.expected(task, w)->seconds;
      if (best < 0 || finish < best_finish) best = w, best_finish = finish;
    }
    queued_[best] += load.expected(task, best)->seconds;
    queues_[best].push_back(&task);
  }
  const ReadyTask* next(WorkerId worker, const Load& load) override {
    auto& queue = queues_[worker];
    if (queue.empty()) return nullptr;
    const auto chosen = std::ranges::min_element(queue, {}, [&](const ReadyTask* task) {
      return std::pair(-static_cast<int64_t>(task->priority), load.missing_bytes(*task, worker));
    });
    const ReadyTask* task = *chosen;
    queue.erase(chosen);
    queued_[worker] -= load.expected(*task, worker)->seconds;
    return task;
  }

 private:
  std::map<WorkerId, std::vector<const ReadyTask*>> queues_;
  std::map<WorkerId, double> queued_;
};

}  // namespace tessera::testing_schedulers
