// What runs tasks that are ready: StarPU, or a small thread pool. Dependencies are the executor's business.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/device/queue.hpp"
#include "runtime/exec/kinds.hpp"
#include "runtime/plan/memory.hpp"
#include "runtime/plan/plan.hpp"
#include "runtime/sched/performance_model.hpp"
#include "runtime/sched/scheduler.hpp"

namespace tessera {

using BufferId = int;

struct EngineAccess {
  BufferId buffer;
  Mode mode;
};

// A task as an engine sees it; built once and submitted again in every step.
struct EngineTask {
  std::vector<EngineAccess> accesses;  // every buffer at most once
  int priority = 0;
  double flops = 0;
  int64_t bytes = 0;
  const char* name = "";        // of its first kernel; this and the label outlive the engine's use of them
  std::string_view label = {};  // of the task: "block3/attention[2,0] backward"
  bool on_device = false;       // whether workers that drive a device may run it
  bool on_cpu = true;           // whether others may, where one that drives a device can
  PerformanceModel::Entry* history = nullptr;  // where the engine has a model
};

// What a policy sees of a task and of what it accesses.
void describe(const EngineTask& task, ReadyTask& seen);
TaskAccess seen_by_policies(const EngineAccess& access, size_t bytes);

// Who is told. The first two are called on the worker's thread; none may throw.
class TaskRunner {
 public:
  virtual ~TaskRunner() = default;
  virtual void run(int task, int worker,
                   void* const* pointers) noexcept = 0;          // pointers in the order of accesses
  virtual void finished(int task, int worker) noexcept = 0;      // may submit further tasks
  virtual void failed(const std::string& message) noexcept = 0;  // from any thread: the engine is at fault
};

// Prepared tasks, numbered from 0. A task may be submitted again once it has finished.
class TaskSet {
 public:
  virtual ~TaskSet() = default;
  // Called with all its predecessors done; from any thread. Only workers of that kind may run it, unless it
  // is any_kind.
  virtual void submit(int task, int kind) = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string name() const = 0;
  virtual int workers() const = 0;
  virtual std::string worker_name(int worker) const { return fmt::format("cpu {}", worker); }
  virtual int64_t bytes_moved(int /*worker*/) const { return 0; }
  // What a worker that drives a device launches on; null for CPU workers. Used by that worker alone.
  virtual DeviceQueue* queue(int /*worker*/) { return nullptr; }
  const WorkerKinds& kinds() {  // of its workers; first asked for by the thread that drives it
    if (kinds_.of.empty()) kinds_ = kinds_of(*this);
    return kinds_;
  }
  // Whether a device may still be busy with a task when run() returns; by the time of finished() it is not.
  virtual bool asynchronous() const { return false; }
  // A plan whose task sets are prepared next, and what it needs on top of what there is. False where memory
  // is not the engine's business; Error where its limits do not admit the plan.
  virtual bool expect(const Plan& /*plan*/, const MemoryNeed& /*need*/) { return false; }
  // What is expected of tasks, where the engine asks anybody; and which of its kinds a worker is.
  virtual PerformanceModel* model() { return nullptr; }
  virtual int kind(int /*worker*/) const { return 0; }
  virtual BufferId add_buffer(void* memory, size_t bytes) = 0;
  virtual void remove_buffer(BufferId buffer) = 0;
  // Nobody but tasks between two overwritings reads it.
  virtual void set_temporary(BufferId /*buffer*/) {}
  // Host access to a buffer that no submitted task uses.
  virtual void acquire(BufferId buffer, Mode mode) = 0;
  virtual void release(BufferId buffer) = 0;
  virtual std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) = 0;

 private:
  WorkerKinds kinds_;
};

// What a worker did in some steps.
struct WorkerUse {
  std::string name;  // "cpu 0", "opencl 0 (pthread)"
  int64_t tasks = 0;
  double flops = 0, busy_s = 0;
  int64_t bytes_moved = 0;  // to and from its memory
};

struct EngineOptions {
  std::string engine = "starpu";  // or in-process, without StarPU: "threads", or "device" for one device
  int workers = 0;                // CPU workers; 0: one per core
  std::string scheduler = "lws";  // one of StarPU's, one of ours, or "./libmine.so:mine" from a library
  std::vector<int> opencl = {}, cuda = {};  // indices of devices
  std::string explain = {};  // a file in which a policy of ours says why it chose each task's worker
  int64_t host_memory = 0, device_memory = 0;  // bytes: of the process, and on each device; 0: no limit
  std::string swap = {};                       // a folder for what host_memory leaves no room for
  bool copies =
      false;  // for tests: one OpenCL device is treated as one GPU beside one core is (DeviceCopies)
  double patience = 30;  // seconds that all workers may idle while a policy of ours holds ready tasks
};

std::unique_ptr<Engine> make_device_engine(std::unique_ptr<DeviceQueue> queue);
// What make_engine makes of them: Error for workers and devices that are not there.
EngineOptions checked(EngineOptions options);
std::unique_ptr<Engine> make_engine(const EngineOptions& options);
std::vector<std::string> scheduler_names();  // ours, then StarPU's

// What make_engine builds on: `policy` is null where the scheduler is StarPU's.
std::unique_ptr<Engine> make_thread_engine(const EngineOptions& options, std::unique_ptr<Scheduler> policy);
std::unique_ptr<Engine> make_starpu_engine(const EngineOptions& options, std::unique_ptr<Scheduler> policy);
std::vector<std::string> starpu_scheduler_names();

}  // namespace tessera
