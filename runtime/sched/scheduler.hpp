// Policies: which worker runs a ready task, and in what order. This header is all that one is written
// against.
// SPDX-License-Identifier: Apache-2.0
//
//   predecessors done ──> ready(task) ──> [ the policy's own queues ] ──> next(worker) ──> runs ──>
//   done(task)
//
// Every call holds the policy's one lock, so a policy needs none and must never wait. It sees costs, places
// and priorities, never a model. What it returns cannot change a result, only when that result is there.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

using WorkerId = int;  // 0, 1, … as in Load::workers()

enum class WorkerKind : uint8_t { cpu, opencl, cuda };
inline constexpr int n_worker_kinds = 3;
inline std::string_view name_of(WorkerKind kind) {
  return kind == WorkerKind::cpu ? "cpu" : kind == WorkerKind::opencl ? "opencl" : "cuda";
}

struct Worker {
  WorkerKind kind = WorkerKind::cpu;
  int index = 0;   // among those of its kind
  int memory = 0;  // where the bytes of its tasks must be; workers may share one, and 0 is the host's

  std::string name() const { return fmt::format("{} {}", name_of(kind), index); }
};

struct TaskAccess {
  int64_t bytes = 0;
  bool reads = true, writes = false;
};

// A task whose predecessors are done. It stays where it is until done() was called for it.
struct ReadyTask {
  std::string_view label;   // "block3/attention[2,0] backward"
  std::string_view kernel;  // of its first stage
  int priority = 0;         // larger is more urgent: the longest path from here on, by nominal cost
  double flops = 0;
  int64_t bytes = 0;
  std::span<const TaskAccess> accesses;
};

// How long a task takes on a worker once its bytes are there.
struct Expected {
  double seconds = 0;
  bool young = true;  // a guess from flops and bytes; no such task was measured there yet
};

// What may be asked about the moment. Times are seconds on one clock.
class Load {
 public:
  virtual ~Load() = default;
  virtual double now() const = 0;
  virtual const std::vector<Worker>& workers() const = 0;
  virtual std::optional<Expected> expected(const ReadyTask& task, WorkerId worker) const = 0;  // none: cannot
  virtual std::vector<WorkerId> workers_for(const ReadyTask& task) const = 0;  // those that can; never empty
  virtual int64_t missing_bytes(const ReadyTask& task, WorkerId worker) const = 0;
  virtual double transfer_seconds(const ReadyTask& task, WorkerId worker) const = 0;
  // When the worker will be through with what next() gave it; now() where it has nothing to do.
  virtual double free_at(WorkerId worker) const = 0;

  // Says why a task goes to a worker, for --explain-placement; the last word before next() gives it counts.
  // `finish` are the times at which workers would have finished it. Ask explaining() first: it costs.
  struct Choice {
    WorkerId worker = 0;
    double finish = 0;
  };
  virtual bool explaining() const = 0;
  virtual void explain(const ReadyTask& task, std::string reason, std::span<const Choice> finish) const = 0;
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  virtual void ready(const ReadyTask& task, const Load& load) = 0;
  // What the worker does next; null: nothing for now. Workers that got null are asked again whenever a task
  // becomes ready or is done. Workers with memory of their own ask ahead, to fetch bytes while they compute.
  virtual const ReadyTask* next(WorkerId worker, const Load& load) = 0;
  virtual void done(const ReadyTask& /*task*/, WorkerId /*worker*/, double /*seconds*/) {}
};

// What a shared library with policies exports, so that `--scheduler ./libmine.so:name` finds it:
//
//   extern "C" tessera::Scheduler* tessera_scheduler_v1(const char* name) {
//     return std::string_view(name) == "mine" ? new Mine : nullptr;
//   }
//
// It is called for every session, which deletes what it gets. The number changes with this header's types.
using SchedulerFunction = Scheduler*(const char* name);
inline constexpr auto scheduler_function = "tessera_scheduler_v1";

}  // namespace tessera
