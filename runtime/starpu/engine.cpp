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
#include <thread>
#include <utility>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/text.hpp"
#include "runtime/exec/device_copies.hpp"
#include "runtime/starpu/devices.hpp"
#include "runtime/starpu/policy.hpp"

namespace tessera {
namespace {

enum starpu_data_access_mode starpu_mode(Mode mode) {
  return mode == Mode::read ? STARPU_R : mode == Mode::write ? STARPU_W : STARPU_RW;
}

// Memory of the worker that runs the task: host pointers, CUDA pointers or OpenCL memory objects.
template <class PointerOf>
void run(void** buffers, void* argument, void* const* Call::* carries, PointerOf pointer_of) {
  auto* call = static_cast<Call*>(argument);
  call->worker = starpu_worker_get_id();
  if (call->copies) {
    const bool on_device = starpu_worker_get_type(call->worker) != STARPU_CPU_WORKER;
    const std::vector<void*> pointers = call->copies->place(call->buffers, on_device, *call->runner);
    return call->runner->run(call->index, call->worker, pointers.data());
  }
  if (void* const* carried = call->*carries) return call->runner->run(call->index, call->worker, carried);
  void* few[STARPU_NMAXBUFS];
  std::vector<void*> many;
  void** pointers = few;
  if (call->n_buffers > STARPU_NMAXBUFS) {
    many.resize(static_cast<size_t>(call->n_buffers));
    pointers = many.data();
  }
  for (int k = 0; k < call->n_buffers; ++k) pointers[k] = pointer_of(buffers[k]);
  call->runner->run(call->index, call->worker, pointers);
}

// NOLINTBEGIN(performance-no-int-to-ptr)
void run_where_it_is(void** buffers, void* argument) {
  run(buffers, argument, &Call::host,
      [](void* b) { return reinterpret_cast<void*>(STARPU_VARIABLE_GET_PTR(b)); });
}
void run_on_opencl(void** buffers, void* argument) {
  run(buffers, argument, &Call::lent,
      [](void* b) { return reinterpret_cast<void*>(STARPU_VARIABLE_GET_DEV_HANDLE(b)); });
}
// NOLINTEND(performance-no-int-to-ptr)

int can_execute(unsigned worker, starpu_task* task, unsigned) {
  const auto& call = *static_cast<const Call*>(task->cl_arg);
  return call.kind == any_kind || (*call.kinds)[worker] == call.kind;
}

void finished(void* argument) {
  const auto* call = static_cast<const Call*>(argument);
  call->runner->finished(call->index, call->worker);
}

double expected_cost(struct starpu_task* task, unsigned worker, unsigned) {
  return 1e6 *
         expected_seconds(*static_cast<const Call*>(task->cl_arg), static_cast<int>(worker)).seconds;  // µs
}

// What all tasks have. StarPU keeps a pointer to the model until it shuts down, so it lives with the engine.
struct Codelet {
  starpu_perfmodel model{};
  starpu_codelet codelet{};

  Codelet() {
    model.type = STARPU_PER_WORKER;
    model.worker_cost_function = expected_cost;
    model.symbol = "tessera";
    starpu_codelet_init(&codelet);
    codelet.cpu_funcs[0] = run_where_it_is;
    codelet.cuda_funcs[0] = run_where_it_is;
    codelet.cuda_flags[0] = STARPU_CUDA_ASYNC;
    codelet.opencl_funcs[0] = run_on_opencl;
    codelet.nbuffers = STARPU_VARIABLE_NBUFFERS;
    codelet.name = "tessera";
    codelet.model = &model;
  }
  Codelet(const Codelet&) = delete;
  Codelet& operator=(const Codelet&) = delete;
};

// Buffers by their ids.
struct Buffers {
  std::vector<std::span<std::byte>> memory;
  std::vector<starpu_data_handle_t> handles;  // empty where StarPU moves nothing
  std::vector<void*> lent;                    // the memory as the device knows it that computes in it
  std::unique_ptr<DeviceCopies> copies;       // where there is one GPU
};

class StarpuTasks final : public TaskSet {
 public:
  StarpuTasks(const Codelet& codelet, const Timing& timing, const Buffers& buffers, const WorkerKinds& kinds,
              std::vector<EngineTask> tasks, TaskRunner& runner)
      : described_(std::move(tasks)), codelet_(codelet.codelet) {
    host_.resize(described_.size());
    lent_.resize(described_.size());
    tasks_.resize(described_.size());
    calls_.resize(described_.size());
    handles_.resize(described_.size());
    modes_.resize(described_.size());
    submitted_.resize(described_.size(), 0);
    for (size_t t = 0; t < described_.size(); ++t) {
      const EngineTask& from = described_[t];
      starpu_task* task = &tasks_[t];
      describe(from, calls_[t]);
      calls_[t].runner = &runner;
      calls_[t].index = static_cast<int>(t);
      calls_[t].n_buffers = static_cast<int>(from.accesses.size());
      calls_[t].task = task;
      calls_[t].kinds = &kinds.of;
      calls_[t].history = from.history;
      calls_[t].timing = &timing;
      starpu_task_init(task);
      task->cl = &codelet_;
      task->cl_arg = &calls_[t];
      if (!from.on_device)
        task->where = STARPU_CPU;
      else if (!from.on_cpu)
        task->where = STARPU_CUDA | STARPU_OPENCL;
      task->callback_func = finished;
      task->callback_arg = &calls_[t];
      task->destroy = 0;
      task->detach = 0;  // so that its termination can be asked for
      task->sequential_consistency = 0;
      task->priority = from.priority;
      task->flops = from.flops;
      task->name = from.name;
      for (const EngineAccess& access : from.accesses)
        calls_[t].list.push_back(
            seen_by_policies(access, buffers.memory[static_cast<size_t>(access.buffer)].size()));
      calls_[t].accesses = calls_[t].list;
      if (buffers.copies)
        carry_accesses(t, *buffers.copies);
      else if (buffers.handles.empty())
        carry_pointers(t, buffers);
      else
        carry_handles(t, buffers.handles);
    }
  }

  ~StarpuTasks() override {
    for (size_t t = 0; t < tasks_.size(); ++t) {
      await_termination(t);
      free(static_cast<void*>(tasks_[t].dyn_interfaces));
      tasks_[t].dyn_interfaces = nullptr;
      tasks_[t].dyn_handles = nullptr;  // ours, not StarPU's to free
      tasks_[t].dyn_modes = nullptr;
      starpu_task_clean(&tasks_[t]);
    }
  }

  void submit(int task, int kind) override {
    const auto t = static_cast<size_t>(task);
    await_termination(t);
    calls_[t].kind = kind;
    free(static_cast<void*>(tasks_[t].dyn_interfaces));  // every submission allocates them anew
    tasks_[t].dyn_interfaces = nullptr;
    submitted_[t] = 1;
    if (int problem = starpu_task_submit(&tasks_[t]); problem != 0)
      std::abort();  // no worker for a CPU task: our bug
  }

 private:
  // The callback of a task runs shortly before StarPU is through with its structure.
  void await_termination(size_t t) {
    if (!submitted_[t]) return;
    while (!starpu_task_finished(&tasks_[t])) std::this_thread::yield();
  }

  void carry_accesses(size_t t, DeviceCopies& copies) {
    tasks_[t].nbuffers = 0;
    calls_[t].copies = &copies;
    calls_[t].buffers = described_[t].accesses;
  }
  void carry_pointers(size_t t, const Buffers& buffers) {
    tasks_[t].nbuffers = 0;
    for (const EngineAccess& access : described_[t].accesses) {
      host_[t].push_back(buffers.memory[static_cast<size_t>(access.buffer)].data());
      if (!buffers.lent.empty()) lent_[t].push_back(buffers.lent[static_cast<size_t>(access.buffer)]);
    }
    calls_[t].host = host_[t].data();
    if (!lent_[t].empty()) calls_[t].lent = lent_[t].data();
  }
  void carry_handles(size_t t, const std::vector<starpu_data_handle_t>& handles) {
    const std::vector<EngineAccess>& accesses = described_[t].accesses;
    starpu_task& task = tasks_[t];
    task.nbuffers = static_cast<int>(accesses.size());
    const bool few = accesses.size() <= STARPU_NMAXBUFS;
    if (!few) {
      handles_[t].resize(accesses.size());
      modes_[t].resize(accesses.size());
      task.dyn_handles = handles_[t].data();
      task.dyn_modes = modes_[t].data();
    }
    for (size_t k = 0; k < accesses.size(); ++k) {
      (few ? task.handles : task.dyn_handles)[k] = handles[static_cast<size_t>(accesses[k].buffer)];
      (few ? task.modes : task.dyn_modes)[k] = starpu_mode(accesses[k].mode);
    }
  }

  std::vector<EngineTask> described_;
  starpu_codelet codelet_;
  std::vector<std::vector<void*>> host_, lent_;  // per task
  std::vector<starpu_task> tasks_;
  std::vector<Call> calls_;
  std::vector<std::vector<starpu_data_handle_t>> handles_;
  std::vector<std::vector<starpu_data_access_mode>> modes_;
  std::vector<char> submitted_;
};

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
      if (kinds().names.size() > 1) codelet_.codelet.can_execute = can_execute;
      if (timing_.model) name_kinds();
      lender_ = lender(options);
      if (alone(options)) buffers_.copies = std::make_unique<DeviceCopies>(first_queue());
      if (policy_ && (lender_ || buffers_.copies)) policy_->share_memory();
      moves_ = !lender_ && !buffers_.copies && (!options.opencl.empty() || !options.cuda.empty());
      pin_ =
          moves_ && !options.cuda.empty() && options.host_memory == 0;  // pinned pages cannot be given back
      if (moves_) largest_device_task_ = largest_device_task();
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
    return std::make_unique<StarpuTasks>(codelet_, timing_, buffers_, kinds(), std::move(tasks), runner);
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
    if (options.opencl.size() != 1 || !options.cuda.empty() || options.device_memory != 0) return nullptr;
    DeviceQueue& queue = first_queue();
    return queue.in_host_memory() ? &queue : nullptr;
  }
  // Whether one GPU does nearly all the work.
  bool alone(const EngineOptions& options) const {
    return options.cuda.size() == 1 && options.opencl.empty() && options.workers == 1 &&
           options.device_memory == 0 && options.host_memory == 0;
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
