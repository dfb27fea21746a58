// What the executor keeps for a step in flight; private to its sources.
// SPDX-License-Identifier: Apache-2.0
//
// Three sets of counters are enough for two steps in flight. run(t) waits for step t-2, takes set t % 3, and
// resets set (t+1) % 3, which was step t-2's. All decrements by t-2 are over then, its carried ones into t-1
// too, since a task counts as finished only after making them. Into set t+1 only tasks of steps t and t+1
// count down: those of t run after the reset, and of t+1 nothing runs before run(t+1), because every task has
// a source among its predecessors, and sources count one more, which run() takes away. So neither a task
// completed from outside late in t, nor a step that is over before run() returns, can touch counters that are
// not those of its step. A task's structure in the engine belongs to a set, and so is submitted again three
// steps later at the earliest; the engine still has to see to it that the earlier use is over (a callback
// runs before StarPU is through).
#pragma once

#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {

// What exists once per step in flight, and once more.
struct Executor::Set {
  std::vector<std::atomic<int>> missing;  // predecessors per task
  std::atomic<int> remaining{0};          // tasks of the step
  std::atomic<size_t> next_source{0};     // of those without predecessors in the step: the first not started
  std::string wanted;                     // a kind's letter per task; empty: any
  std::string ran;                        // and where it did run
  int64_t step = -1;
  bool done = true;
  Memory memory;                 // inputs and fetches
  std::vector<std::byte*> data;  // per plan buffer; null elsewhere
  std::vector<BufferId> buffers;
  std::unique_ptr<Runner> runner;
  std::unique_ptr<TaskSet> tasks;
  Step result;
};

class Executor::Runner final : public TaskRunner {
 public:
  Runner(Executor& executor, Set& set) : executor_(executor), set_(set) {}
  void run(int task, int worker, void* const* pointers) noexcept override {
    executor_.execute(set_, task, worker, pointers);
  }
  void finished(int task, int worker) noexcept override {
    executor_.device_done(task, worker);
    executor_.finished(set_, task);
  }
  void failed(const std::string& message) noexcept override {
    executor_.give_up(std::make_exception_ptr(Failure(message)));
  }

 private:
  Executor& executor_;
  Set& set_;
};

}  // namespace tessera
