// The StarPU engine: prebuilt tasks on registered buffers; StarPU schedules them and drives the workers.
// SPDX-License-Identifier: Apache-2.0
//
// Sequential consistency is off: the executor submits a task only when its predecessors are done, which costs
// about a third of what implicit dependencies cost and lets messages and host reads be predecessors too.
// Handles are acquired and released for every task. Where all workers compute in the main memory, nothing has
// to move, and tasks carry pointers instead; where one GPU does nearly all the work, DeviceCopies looks after
// what the tasks access.
#include "runtime/exec/engine.hpp"

#include <spdlog/spdlog.h>
#include <starpu.h>
#include <starpu_scheduler.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <span>
#include <utility>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/text.hpp"
#include "runtime/starpu/devices.hpp"
#include "runtime/starpu/tasks.hpp"

namespace tessera {
namespace {

std::atomic<bool> running{false};  // StarPU exists once in a process

class StarpuEngine final : public Engine {
 public:
  StarpuEngine(const EngineOptions& options, std::unique_ptr<Scheduler> policy) {
    check_starpu(options);
    if (running.exchange(true))
      throw error("StarPU runs once in a process: end the other session first, or use engine = threads");
    const bool asks =
        policy || !options.opencl.empty() || !options.cuda.empty() || options.scheduler.starts_with("dm");
    if (asks) timing_.model = std::make_unique<PerformanceModel>(performance_file());
    starpu_conf conf;
    starpu_conf_init(&conf);
    conf.precedence_over_environment_variables = 1;
    conf.ncpus = options.workers;
    choose_devices(conf, options);
    choose_scheduler(conf, options, std::move(policy));
    conf.catch_signals = 0;
    setenv("STARPU_SILENT", "1", 0);
    const DeviceMemoryLimit limit(options.device_memory);
    const int problem = starpu_init(&conf);
    const int wanted = options.workers + static_cast<int>(options.opencl.size() + options.cuda.size());
    const int got = problem == 0 ? workers() : 0;
    if (got != wanted || (policy_ && !policy_->began())) {
      if (problem == 0) starpu_shutdown();
      running = false;
      if (policy_) policy_->check();
      throw failure("StarPU starts {} of {} workers (error {})", got, wanted, problem);
    }
    if (!options.cuda.empty() || !options.opencl.empty())
      starpu_profiling_status_set(STARPU_PROFILING_ENABLE);  // counts bytes moved
    try {
      queues_ = make_queues();
      if (kinds().names.size() > 1) codelet_.keep_to_kinds();
      if (timing_.model) name_kinds();
      lender_ = lender(options);
      if (alone(options)) buffers_.copies = std::make_unique<DeviceCopies>(first_queue());
      if (policy_ && (lender_ || buffers_.copies)) policy_->share_memory();
      moves_ = !lender_ && !buffers_.copies && (!options.opencl.empty() || !options.cuda.empty());
      if (steals(options)) codelet_.go_on();
      pin_ =
          moves_ && !options.cuda.empty() && options.host_memory == 0;  // pinned pages cannot be given back
      if (moves_ || buffers_.copies) largest_device_task_ = largest_device_task(moves_ ? 4 : 1);
    } catch (...) {
      starpu_shutdown();
      running = false;
      throw;
    }
  }
  ~StarpuEngine() override {
    if (timing_.model && unlike_) timing_.model->save();
    for (size_t b = 0; b < buffers_.memory.size(); ++b)
      if (buffers_.memory[b].data()) remove_buffer(static_cast<int>(b));
    buffers_.copies.reset();
    queues_.clear();
    starpu_shutdown();
    running = false;
  }

  std::string name() const override { return "starpu"; }
  int workers() const override { return static_cast<int>(starpu_worker_get_count()); }
  bool asynchronous() const override { return true; }
  DeviceQueue* queue(int worker) override { return queues_[static_cast<size_t>(worker)].get(); }
  std::string worker_name(int worker) const override {
    const DeviceQueue* queue = queues_[static_cast<size_t>(worker)].get();
    if (!queue) return fmt::format("cpu {}", starpu_worker_get_devid(worker));
    return fmt::format("{} {} ({})", queue->api() == DeviceApi::cuda ? "cuda" : "opencl",
                       starpu_worker_get_devid(worker), queue->device_name());
  }
  // Over all links that end in the worker's memory; the main memory's are those of the devices.
  int64_t bytes_moved(int worker) const override {
    if (!queues_[static_cast<size_t>(worker)]) return 0;
    if (buffers_.copies) return buffers_.copies->bytes_moved();
    const int node = static_cast<int>(starpu_worker_get_memory_node(static_cast<unsigned>(worker)));
    int64_t bytes = 0;
    for (int bus = 0; bus < starpu_bus_get_count(); ++bus)
      if (starpu_bus_get_src(bus) == node || starpu_bus_get_dst(bus) == node) {
        starpu_profiling_bus_info info;
        starpu_bus_get_profiling_info(bus, &info);
        bytes += static_cast<int64_t>(info.transferred_bytes);
      }
    return bytes;
  }

  PerformanceModel* model() override { return timing_.model.get(); }
  int kind(int worker) const override { return timing_.kinds[static_cast<size_t>(worker)]; }

  BufferId add_buffer(void* memory, size_t bytes) override {
    buffers_.memory.emplace_back(static_cast<std::byte*>(memory), bytes);
    if (lender_) buffers_.lent.push_back(lender_->lend(memory, bytes));
    if (buffers_.copies) buffers_.copies->add(memory, bytes);
    if (moves_) {
      starpu_data_handle_t handle = nullptr;
      starpu_variable_data_register(&handle, STARPU_MAIN_RAM, reinterpret_cast<uintptr_t>(memory), bytes);
      starpu_data_set_sequential_consistency_flag(handle, 0);
      buffers_.handles.push_back(handle);
    }
    if (pin_) starpu_memory_pin(memory, bytes);  // else a GPU's copies go through a buffer, and wait for it
    return static_cast<int>(buffers_.memory.size()) - 1;
  }
  void remove_buffer(BufferId buffer) override {
    const auto b = static_cast<size_t>(buffer);
    const std::span<std::byte> memory = std::exchange(buffers_.memory[b], {});
    if (moves_) starpu_data_unregister(std::exchange(buffers_.handles[b], nullptr));
    if (lender_) lender_->deallocate(std::exchange(buffers_.lent[b], nullptr));
    if (buffers_.copies) buffers_.copies->remove(buffer);
    if (pin_) starpu_memory_unpin(memory.data(), memory.size());
  }
  void acquire(BufferId buffer, Mode mode) override {
    if (buffers_.copies) buffers_.copies->acquire(buffer, mode);
    if (moves_) starpu_data_acquire(buffers_.handles[static_cast<size_t>(buffer)], starpu_mode(mode));
  }
  void release(BufferId buffer) override {
    if (moves_) starpu_data_release(buffers_.handles[static_cast<size_t>(buffer)]);
  }
  std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) override {
    keep_on_cpu(tasks);
    return make_starpu_tasks(codelet_, timing_, buffers_, kinds(), std::move(tasks), runner);
  }

 private:
  void choose_scheduler(starpu_conf& conf, const EngineOptions& options, std::unique_ptr<Scheduler> ours) {
    if (ours) {
      policy_ = std::make_unique<StarpuPolicy>(std::move(ours), options);
      conf.sched_policy = policy_->policy();
      conf.sched_policy_name = nullptr;
      unsetenv("STARPU_SCHED");  // it would take precedence
    } else {
      conf.sched_policy_name = options.scheduler.c_str();
      setenv("STARPU_SCHED", options.scheduler.c_str(), 1);  // takes precedence even so
    }
  }

  // The queue of the one device beside the CPU workers, if it computes in their memory: nothing moves then.
  DeviceQueue* lender(const EngineOptions& options) const {
    if (options.opencl.size() != 1 || !options.cuda.empty() || options.device_memory != 0 || options.copies)
      return nullptr;
    DeviceQueue& queue = first_queue();
    return queue.in_host_memory() ? &queue : nullptr;
  }
  // Whether workers are alike, and each keeps what it made ready until another one has nothing to do.
  static bool steals(const EngineOptions& options) {
    return options.opencl.empty() && options.cuda.empty() &&
           (options.scheduler == "lws" || options.scheduler == "ws");
  }
  // Whether one GPU does nearly all the work.
  static bool alone(const EngineOptions& options) {
    return options.copies || (options.cuda.size() == 1 && options.opencl.empty() && options.workers == 1 &&
                              options.device_memory == 0 && options.host_memory == 0);
  }
  DeviceQueue& first_queue() const {
    return **std::ranges::find_if(queues_, [](const auto& queue) { return queue != nullptr; });
  }

  // Tasks that a device has no room for.
  void keep_on_cpu(std::vector<EngineTask>& tasks) {
    size_t wanted = 0, kept = 0;
    for (EngineTask& task : tasks) {
      if (!task.on_device) continue;
      ++wanted;
      int64_t bytes = 0;
      for (const EngineAccess& access : task.accesses)
        bytes += static_cast<int64_t>(buffers_.memory[static_cast<size_t>(access.buffer)].size());
      if (bytes <= largest_device_task_) continue;
      task.on_device = false;
      ++kept;
    }
    if (kept == 0 || std::exchange(told_of_cpu_, true)) return;
    spdlog::warn("{} of {} tasks access more than a device has room for ({}); they run on the CPU", kept,
                 wanted, bytes_text(largest_device_task_));
  }

  void name_kinds() {
    for (const auto& queue : queues_) {
      const bool gpu = queue && !queue->traits().is_cpu;
      timing_.kinds.push_back(
          timing_.model->kind(queue ? queue->kind() : cpu_kind(),
                              gpu ? nominal_gpu(queue->traits().compute_units) : nominal_core));
      unlike_ = unlike_ || queue;
    }
  }

  std::unique_ptr<StarpuPolicy> policy_;
  Codelet codelet_;
  Timing timing_;
  bool unlike_ = false;  // there are workers of several kinds
  Buffers buffers_;
  DeviceQueue* lender_ = nullptr;  // null: devices have memory of their own
  bool moves_ = false;             // tiles, between the main memory and those of devices
  int64_t largest_device_task_ = std::numeric_limits<int64_t>::max();
  bool told_of_cpu_ = false;
  bool pin_ = false;                                  // there are GPUs
  std::vector<std::unique_ptr<DeviceQueue>> queues_;  // per worker; null for CPU workers
};

}  // namespace

Expected expected_seconds(const Call& call, int worker) {
  if (!call.history) return {.seconds = nominal_seconds(call)};
  return call.timing->model->expected(*call.history, call.timing->kinds[static_cast<size_t>(worker)]);
}

std::vector<std::string> starpu_scheduler_names() {
  std::vector<std::string> names;
  for (starpu_sched_policy** policy = starpu_sched_get_predefined_policies(); *policy; ++policy)
    names.emplace_back((*policy)->policy_name);
  return names;
}

std::unique_ptr<Engine> make_starpu_engine(const EngineOptions& options, std::unique_ptr<Scheduler> policy) {
  return std::make_unique<StarpuEngine>(options, std::move(policy));
}

}  // namespace tessera
