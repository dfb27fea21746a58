// To each worker what was not measured on its kind yet: what `tessera calibrate` runs steps under.
// SPDX-License-Identifier: Apache-2.0
//
//   ready ──> [ one pool ] ──> next: the first that is young here, else the first that is young nowhere,
//                                    else, where nobody comes for them, the first
//
// A task that is young on another kind is left to that kind's workers, which are asked about it in their
// turn; so every worker finds something new as long as there is anything, and none waits for long.
#include <deque>

#include "runtime/sched/policies.hpp"

namespace tessera {
namespace {

class Explore final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load&) override { pool_.push_back(&task); }

  const ReadyTask* next(WorkerId worker, const Load& load) override {
    constexpr size_t left_to_others = 2;
    if (const ReadyTask* task =
            take([&](const ReadyTask& t) { return young(t, worker, load); }, worker, load))
      return task;
    const auto elsewhere = [&](const ReadyTask& task) {
      for (const WorkerId other : load.workers_for(task))
        if (young(task, other, load)) return true;
      return false;
    };
    if (const ReadyTask* task = take([&](const ReadyTask& t) { return !elsewhere(t); }, worker, load))
      return task;
    const auto any = [](const ReadyTask&) { return true; };
    return pool_.size() > left_to_others ? take(any, worker, load) : nullptr;
  }

 private:
  static bool young(const ReadyTask& task, WorkerId worker, const Load& load) {
    const std::optional<Expected> expected = load.expected(task, worker);
    return expected && expected->young;
  }

  template <class Suits>
  const ReadyTask* take(Suits suits, WorkerId worker, const Load& load) {
    for (auto at = pool_.begin(); at != pool_.end(); ++at) {
      if (!load.expected(**at, worker) || !suits(**at)) continue;
      const ReadyTask* task = *at;
      pool_.erase(at);
      if (load.explaining()) load.explain(*task, "a sample of it here, or nothing newer to run", {});
      return task;
    }
    return nullptr;
  }

  std::deque<const ReadyTask*> pool_;
};

}  // namespace

std::unique_ptr<Scheduler> make_explore() { return std::make_unique<Explore>(); }

}  // namespace tessera
