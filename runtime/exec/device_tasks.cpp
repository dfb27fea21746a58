// Tasks on devices: launches in the order of the stages, and the CPU's kernel where the device's does not
// compile.
// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "runtime/device/queue.hpp"
#include "runtime/exec/executor_set.hpp"

namespace tessera {
namespace {

size_t bytes_of(const TileView& view) { return static_cast<size_t>(view.size()) * size_of(view.dtype); }

// The stage on this thread, between copies of its tiles to the host and back.
void run_on_host(const Stage& stage, std::span<const TileView> there, DeviceQueue& queue) {
  std::vector<std::vector<std::byte>> memory;
  std::vector<TileView> here(there.begin(), there.end());
  for (size_t k = 0; k < here.size(); ++k) {
    memory.emplace_back(bytes_of(here[k]));
    here[k].data = memory.back().data();
    if (stage.accesses[k].mode != Mode::write) queue.read(here[k].data, there[k].data, bytes_of(here[k]));
  }
  stage.kernel->cpu({here, stage.op.get(), stage.params});
  release_scratch();
  for (size_t k = 0; k < here.size(); ++k)
    if (stage.accesses[k].mode != Mode::read) queue.write(there[k].data, here[k].data, bytes_of(here[k]));
}

// Kernels that a device cannot have, by their launches; each is told of once.
class Broken {
 public:
  bool has(const Kernel& kernel) {
    std::lock_guard lock(mutex_);
    return launches_.contains(kernel.gpu);
  }
  void add(const Kernel& kernel, const CompileFailure& why) {
    std::lock_guard lock(mutex_);
    if (launches_.insert(kernel.gpu).second) spdlog::warn("{}; it runs on the CPU instead", why.what());
  }

 private:
  std::mutex mutex_;
  std::set<decltype(Kernel::gpu)> launches_;
};
Broken broken;

}  // namespace

// Values are only looked at on the CPU.
bool Executor::runs_on_device(const Task& task) const {
  return !options_.check_finite &&
         std::all_of(task.stages.begin(), task.stages.end(), [&](const Stage& stage) {
           return stage.kernel && stage.kernel->gpu &&
                  (options_.strict_devices || !broken.has(*stage.kernel));
         });
}

// Every task ends on the queue, also one that fails or is passed over: the queue counts them.
void Executor::launch_stages(Set& set, int task, int worker, void* const* pointers,
                             DeviceQueue& queue) noexcept {
  const std::vector<Stage>& stages = plan_.tasks[static_cast<size_t>(task)].stages;
  use_[static_cast<size_t>(worker)].launched.push_back(now_ns());
  size_t s = 0;
  try {
    DeviceScratch scratch;
    for (; s < stages.size() && !failed_.load(std::memory_order_relaxed); ++s)
      execute_on_device(set, task, s, worker, pointers, queue, scratch);
  } catch (...) {
    fail(stages[s].label);
  }
  try {
    queue.end_task();
    if (!session_.engine().asynchronous()) queue.finish();
  } catch (...) {
    fail(stages.back().label);  // which stage's fault it is its message says
  }
}

// A device works through its tasks in order: each begins when it was launched, or when the one before is
// done.
void Executor::device_done(int task, int worker) noexcept try {
  DeviceQueue* queue = session_.engine().queue(worker);
  if (!queue) return;
  Use& use = use_[static_cast<size_t>(worker)];
  const int64_t begin = std::max(use.launched.front(), use.last_done);
  use.launched.pop_front();
  use.last_done = now_ns();
  queue->task_done();
  count(task, worker, use.last_done - begin);
} catch (...) {
  fail(plan_.tasks[static_cast<size_t>(task)].stages.back().label);
}

void Executor::execute_on_device(Set& set, int task, size_t s, int worker, void* const* pointers,
                                 DeviceQueue& queue, DeviceScratch& scratch) {
  const Stage& stage = plan_.tasks[static_cast<size_t>(task)].stages[s];
  const auto& sources = layouts_[static_cast<size_t>(task)].stages[s];
  std::vector<TileView> views;
  for (size_t k = 0; k < sources.size(); ++k) {
    TileView& view = views.emplace_back(sources[k].view);
    if (sources[k].pointer >= 0) {
      view.data = pointers[sources[k].pointer];
    } else {
      const auto at = reinterpret_cast<intptr_t>(sources[k].view.data);
      auto known = std::find_if(scratch.begin(), scratch.end(), [&](auto& tile) { return tile.first == at; });
      if (known == scratch.end())
        known = scratch.insert(scratch.end(), {at, queue.scratch_bytes(bytes_of(view))});
      view.data = known->second;
    }
    if (options_.poison && stage.accesses[k].mode == Mode::write)
      queue.fill(view.data, static_cast<int64_t>(bytes_of(view)), 0xff);
  }
  const int64_t begin = options_.record ? now_ns() : 0;
  try {
    if (!options_.strict_devices && broken.has(*stage.kernel))
      run_on_host(stage, views, queue);
    else
      stage.kernel->gpu({views, stage.op.get(), stage.params}, queue);
  } catch (const CompileFailure& why) {
    if (options_.strict_devices) throw;
    broken.add(*stage.kernel, why);
    run_on_host(stage, views, queue);
  }
  if (!options_.record) return;
  queue.finish();  // so that the stage's time is its own
  record({set.step, task, static_cast<int>(s), worker, begin, now_ns()});
}

}  // namespace tessera
