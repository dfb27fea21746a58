// The StarPU engine: prebuilt tasks on registered buffers; StarPU schedules them and drives the workers.
// SPDX-License-Identifier: Apache-2.0
//
// Sequential consistency is off: the executor submits a task only when its predecessors are done, which costs
// about a third of what implicit dependencies cost and lets messages and host reads be predecessors too.
#include "runtime/exec/engine.hpp"

#include <atomic>
#include <cstdlib>
#include <thread>

#include "runtime/core/error.hpp"
#include "runtime/starpu/policy.hpp"

namespace tessera {
namespace {

enum starpu_data_access_mode starpu_mode(Mode mode) {
  return mode == Mode::read ? STARPU_R : mode == Mode::write ? STARPU_W : STARPU_RW;
}

void run_on_cpu(void** buffers, void* argument) {
  const auto* call = static_cast<const Call*>(argument);
  void* few[STARPU_NMAXBUFS];
  std::vector<void*> many;
  void** pointers = few;
  if (call->n_buffers > STARPU_NMAXBUFS) {
    many.resize(static_cast<size_t>(call->n_buffers));
    pointers = many.data();
  }
  for (int k = 0; k < call->n_buffers; ++k)
    pointers[k] =
        reinterpret_cast<void*>(STARPU_VARIABLE_GET_PTR(buffers[k]));  // NOLINT(performance-no-int-to-ptr)
  call->runner->run(call->index, starpu_worker_get_id(), pointers);
}

void finished(void* argument) {
  const auto* call = static_cast<const Call*>(argument);
  call->runner->finished(call->index);
}

double nominal_cost(struct starpu_task* task, struct starpu_perfmodel_arch*, unsigned) {
  return 1e6 * nominal_seconds(*static_cast<const Call*>(task->cl_arg));  // µs
}

// One for all tasks. StarPU keeps a pointer to the model until it shuts down, so both live with the engine.
struct Codelet {
  starpu_perfmodel model{};
  starpu_codelet codelet{};

  Codelet() {
    model.type = STARPU_PER_ARCH;
    model.arch_cost_function = nominal_cost;
    model.symbol = "tessera";
    starpu_codelet_init(&codelet);
    codelet.cpu_funcs[0] = run_on_cpu;
    codelet.nbuffers = STARPU_VARIABLE_NBUFFERS;
    codelet.name = "tessera";
    codelet.model = &model;
  }
  Codelet(const Codelet&) = delete;
  Codelet& operator=(const Codelet&) = delete;
};

class StarpuTasks final : public TaskSet {
 public:
  StarpuTasks(Codelet& codelet, const std::vector<starpu_data_handle_t>& handles,
              std::vector<EngineTask> tasks, TaskRunner& runner)
      : described_(std::move(tasks)) {
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
      starpu_task_init(task);
      task->cl = &codelet.codelet;
      task->cl_arg = &calls_[t];
      task->callback_func = finished;
      task->callback_arg = &calls_[t];
      task->destroy = 0;
      task->detach = 0;  // so that its termination can be asked for
      task->sequential_consistency = 0;
      task->priority = from.priority;
      task->flops = from.flops;
      task->name = from.name;
      task->nbuffers = static_cast<int>(from.accesses.size());
      const bool few = from.accesses.size() <= STARPU_NMAXBUFS;
      if (!few) {
        handles_[t].resize(from.accesses.size());
        modes_[t].resize(from.accesses.size());
        task->dyn_handles = handles_[t].data();
        task->dyn_modes = modes_[t].data();
      }
      for (size_t k = 0; k < from.accesses.size(); ++k) {
        (few ? task->handles : task->dyn_handles)[k] = handles[static_cast<size_t>(from.accesses[k].buffer)];
        (few ? task->modes : task->dyn_modes)[k] = starpu_mode(from.accesses[k].mode);
        calls_[t].list.push_back(seen_by_policies(
            from.accesses[k], starpu_data_get_size(handles[static_cast<size_t>(from.accesses[k].buffer)])));
      }
      calls_[t].accesses = calls_[t].list;
    }
  }

  ~StarpuTasks() override {
    for (size_t t = 0; t < tasks_.size(); ++t) {
      await_termination(t);
      free(tasks_[t].dyn_interfaces);
      tasks_[t].dyn_interfaces = nullptr;
      tasks_[t].dyn_handles = nullptr;  // ours, not StarPU's to free
      tasks_[t].dyn_modes = nullptr;
      starpu_task_clean(&tasks_[t]);
    }
  }

  void submit(int task) override {
    const auto t = static_cast<size_t>(task);
    await_termination(t);
    free(tasks_[t].dyn_interfaces);  // every submission allocates them anew
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

  std::vector<EngineTask> described_;
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
    if (running.exchange(true))
      throw error("StarPU runs once in a process: end the other session first, or use engine = threads");
    starpu_conf conf;
    starpu_conf_init(&conf);
    conf.precedence_over_environment_variables = 1;
    conf.ncpus = options.workers;
    conf.ncuda = 0;
    conf.nopencl = 0;
    choose_scheduler(conf, options, std::move(policy));
    conf.catch_signals = 0;
    setenv("STARPU_SILENT", "1", 0);
    const int problem = starpu_init(&conf);
    const int got = problem == 0 ? workers() : 0;
    if (got == options.workers && (!policy_ || policy_->began())) return;
    if (problem == 0) starpu_shutdown();
    running = false;
    if (policy_) policy_->check();
    throw failure("StarPU starts {} of {} CPU workers (error {})", got, options.workers, problem);
  }
  ~StarpuEngine() override {
    for (starpu_data_handle_t handle : handles_)
      if (handle) starpu_data_unregister(handle);
    starpu_shutdown();
    running = false;
  }

  std::string name() const override { return "starpu"; }
  int workers() const override { return static_cast<int>(starpu_worker_get_count()); }

  BufferId add_buffer(void* memory, size_t bytes) override {
    starpu_data_handle_t handle = nullptr;
    starpu_variable_data_register(&handle, STARPU_MAIN_RAM, reinterpret_cast<uintptr_t>(memory), bytes);
    starpu_data_set_sequential_consistency_flag(handle, 0);
    handles_.push_back(handle);
    return static_cast<int>(handles_.size()) - 1;
  }
  void remove_buffer(BufferId buffer) override {
    starpu_data_unregister(handles_[static_cast<size_t>(buffer)]);
    handles_[static_cast<size_t>(buffer)] = nullptr;
  }
  void acquire(BufferId buffer, Mode mode) override {
    starpu_data_acquire(handles_[static_cast<size_t>(buffer)], starpu_mode(mode));
  }
  void release(BufferId buffer) override { starpu_data_release(handles_[static_cast<size_t>(buffer)]); }
  std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) override {
    return std::make_unique<StarpuTasks>(codelet_, handles_, std::move(tasks), runner);
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

  std::unique_ptr<StarpuPolicy> policy_;
  Codelet codelet_;
  std::vector<starpu_data_handle_t> handles_;
};

}  // namespace

Expected expected_seconds(const Call& call, int) { return {.seconds = nominal_seconds(call)}; }

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
