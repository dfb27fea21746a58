// A policy outside Tessera's tree: each task runs where most of its bytes already are.
// SPDX-License-Identifier: Apache-2.0
//
//   ready ──> the worker with the fewest bytes to fetch, of these the one free first ──> [ its queue ] ──>
//   next
#include <deque>
#include <map>
#include <tuple>

#include "runtime/sched/scheduler.hpp"

namespace {

using namespace tessera;

class Homebody final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load& load) override {
    std::vector<Load::Choice> finish;
    WorkerId best = -1;
    std::tuple<int64_t, double> best_cost;
    for (WorkerId worker : load.workers_for(task)) {
      const double at = load.free_at(worker) + queued_[worker] + load.transfer_seconds(task, worker);
      finish.push_back({worker, at + load.expected(task, worker)->seconds});
      const std::tuple cost(load.missing_bytes(task, worker), at);
      if (best < 0 || cost < best_cost) best = worker, best_cost = cost;
    }
    queues_[best].push_back(&task);
    queued_[best] += load.expected(task, best)->seconds;
    if (load.explaining())
      load.explain(task, fmt::format("{} bytes are not there yet", std::get<0>(best_cost)), finish);
  }

  const ReadyTask* next(WorkerId worker, const Load& load) override {
    std::deque<const ReadyTask*>& queue = queues_[worker];
    if (queue.empty()) return nullptr;
    const ReadyTask* task = queue.front();
    queue.pop_front();
    queued_[worker] -= load.expected(*task, worker)->seconds;
    return task;
  }

 private:
  std::map<WorkerId, std::deque<const ReadyTask*>> queues_;
  std::map<WorkerId, double> queued_;  // seconds
};

}  // namespace

extern "C" Scheduler* tessera_scheduler_v1(const char* name) {
  return std::string_view(name) == "homebody" ? new Homebody : nullptr;
}
