// Deals tasks to the workers in turn, whatever they cost: every device gets its share, for tests of mixed
// runs.
// SPDX-License-Identifier: Apache-2.0
//
//   ready ──> worker 0, 1, …, n-1, 0, … that can run it ──> [ queue per worker ] ──> next
#include <deque>
#include <map>

#include "runtime/sched/policies.hpp"

namespace tessera {
namespace {

class RoundRobin final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load& load) override {
    const std::vector<WorkerId> able = load.workers_for(task);
    const WorkerId worker = able[turn_++ % able.size()];
    queues_[worker].push_back(&task);
    if (load.explaining()) load.explain(task, "its turn", {});
  }
  const ReadyTask* next(WorkerId worker, const Load&) override {
    std::deque<const ReadyTask*>& queue = queues_[worker];
    if (queue.empty()) return nullptr;
    const ReadyTask* task = queue.front();
    queue.pop_front();
    return task;
  }

 private:
  std::map<WorkerId, std::deque<const ReadyTask*>> queues_;
  size_t turn_ = 0;
};

}  // namespace

std::unique_ptr<Scheduler> make_round_robin() { return std::make_unique<RoundRobin>(); }

}  // namespace tessera
