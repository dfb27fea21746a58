// A policy of ours as one of StarPU's; private to this folder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <starpu.h>
#include <starpu_scheduler.h>

#include <span>
#include <vector>

#include "runtime/exec/engine.hpp"
#include "runtime/sched/dispatcher.hpp"

namespace tessera {

class DeviceCopies;

// What a StarPU task needs to find its way back: its cl_arg.
struct Call final : DispatchTask {
  TaskRunner* runner = nullptr;
  TaskSet* set = nullptr;
  int index = 0;
  int n_buffers = 0;
  void* const* host =
      nullptr;  // the buffers, where all workers compute in the main memory; null: StarPU says
  void* const* lent = nullptr;     // the same as the device knows them that is among these workers
  DeviceCopies* copies = nullptr;  // who knows the buffers, where there is one device with memory
  std::span<const EngineAccess> buffers = {};
  int worker = -1;                          // where it runs
  int kind = any_kind;                      // of the workers that may run it
  const std::vector<int>* kinds = nullptr;  // per worker
  starpu_task* task = nullptr;
  std::vector<TaskAccess> list;  // what `accesses` shows
  const PerformanceModel::Entry* history = nullptr;
  const struct Timing* timing = nullptr;
};

// What is expected of tasks: the model, and each worker's kind in it.
struct Timing {
  std::unique_ptr<PerformanceModel> model;  // null where nobody asks
  std::vector<int> kinds;
};

// How long a task takes on a worker that can run it, its bytes being there.
Expected expected_seconds(const Call& call, int worker);

// Lives longer than StarPU does. Its tasks' cl_arg is a Call.
class StarpuPolicy final : Workplace {
 public:
  StarpuPolicy(std::unique_ptr<Scheduler> policy, const EngineOptions& options);
  ~StarpuPolicy();

  starpu_sched_policy* policy() { return &hooks_; }  // for starpu_conf
  bool began() const { return dispatcher_ != nullptr; }
  void check() const;   // rethrows why it did not begin
  void share_memory();  // all workers compute in the host's

 private:
  double now() const override;
  const std::vector<Worker>& workers() const override { return workers_; }
  std::optional<Expected> expected(const ReadyTask& task, WorkerId worker) const override;
  int64_t missing_bytes(const ReadyTask& task, WorkerId worker) const override;
  double transfer_seconds(const ReadyTask& task, WorkerId worker) const override;
  void wake(WorkerId worker) override;
  void fail(const ReadyTask& task, const std::string& message) noexcept override;

  static void init(unsigned context);
  static void deinit(unsigned) {}
  static int push(starpu_task* task);
  static starpu_task* pop(unsigned context);
  static void pre_exec(starpu_task* task, unsigned context);
  static void post_exec(starpu_task* task, unsigned context);
  void begin();

  std::unique_ptr<Scheduler> waiting_;  // until StarPU has workers
  DispatcherOptions options_;
  starpu_sched_policy hooks_ = {};
  std::vector<Worker> workers_;
  bool one_memory_ = true;
  std::exception_ptr problem_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

}  // namespace tessera
