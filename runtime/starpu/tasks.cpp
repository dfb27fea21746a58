// SPDX-License-Identifier: Apache-2.0
#include "runtime/starpu/tasks.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

namespace tessera {

enum starpu_data_access_mode starpu_mode(Mode mode) {
  return mode == Mode::read ? STARPU_R : mode == Mode::write ? STARPU_W : STARPU_RW;
}

namespace {

// Memory of the worker that runs the task: host pointers, CUDA pointers or OpenCL memory objects.
template <class PointerOf>
void run(void** buffers, Call* call, void* const* carried, PointerOf pointer_of) {
  call->worker = starpu_worker_get_id();
  if (call->copies) {
    const bool on_device = starpu_worker_get_type(call->worker) != STARPU_CPU_WORKER;
    const std::vector<void*> pointers = call->copies->place(call->buffers, on_device, *call->runner);
    return call->runner->run(call->index, call->worker, pointers.data());
  }
  if (carried) return call->runner->run(call->index, call->worker, carried);
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
  auto* call = static_cast<Call*>(argument);
  run(buffers, call, call->host, [](void* b) { return reinterpret_cast<void*>(STARPU_VARIABLE_GET_PTR(b)); });
}
void run_on_opencl(void** buffers, void* argument) {
  auto* call = static_cast<Call*>(argument);
  run(buffers, call, call->lent,
      [](void* b) { return reinterpret_cast<void*>(STARPU_VARIABLE_GET_DEV_HANDLE(b)); });
}
// NOLINTEND(performance-no-int-to-ptr)

// What a worker goes on with: the tasks that its last ones made ready. Only tasks of the same set, because a
// set starts anew when all of its tasks are done, and by then StarPU must have its task back.
struct Following {
  TaskSet* set;
  std::vector<Call*>& ready;  // a heap, the most urgent first
};
thread_local Following* following = nullptr;  // while a task of this worker finishes

bool less_urgent(const Call* a, const Call* b) { return a->priority < b->priority; }

// How long a worker goes on, and what it leaves to others: all but the next one after a long task, half while
// some worker has nothing to do, and nothing while all of them go on. It returns to StarPU now and then,
// where more urgent tasks may wait, and sooner while some worker has nothing to do.
class Run {
 public:
  Run() { n_running.fetch_add(1, std::memory_order_relaxed); }
  ~Run() { n_running.fetch_sub(1, std::memory_order_relaxed); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // After a task, of `n` that are ready.
  size_t for_others(size_t n) {
    const Clock::time_point now = Clock::now();
    const bool is_long = now - std::exchange(last_, now) > long_task;
    const bool all = n_running.load(std::memory_order_relaxed) == n_workers_;
    if (n == 0 || now - begin_ > (all ? longest_run_of_all : longest_run)) return n;
    if (is_long) return n - 1;
    return all ? 0 : n / 2;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::microseconds long_task{100}, longest_run{200}, longest_run_of_all{1000};
  static inline std::atomic<unsigned> n_running{0};  // StarPU exists once

  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  const unsigned n_workers_ = starpu_worker_get_count();
};

void start(const Call& call);

void run_and_go_on(void**, void* argument) {
  thread_local std::vector<Call*> ready;  // empty between runs
  auto* call = static_cast<Call*>(argument);
  const int worker = starpu_worker_get_id();
  Following next{call->set, ready};
  Run run;
  while (true) {
    call->worker = worker;
    call->runner->run(call->index, worker, call->host);
    following = &next;
    call->runner->finished(call->index, worker);  // the last one of a step may take `call` with it
    following = nullptr;
    for (size_t left = run.for_others(ready.size()); left > 0; --left) {
      start(*ready.back());
      ready.pop_back();
    }
    if (ready.empty()) break;
    call = ready.front();
    std::ranges::pop_heap(ready, less_urgent);
    ready.pop_back();
  }
}

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
      calls_[t].set = this;
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
      task->callback_func = codelet.goes_on ? nullptr : finished;
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
    Call* call = &calls_[static_cast<size_t>(task)];
    call->kind = kind;
    if (following && following->set == this) {
      following->ready.push_back(call);
      std::ranges::push_heap(following->ready, less_urgent);
      return;
    }
    start(static_cast<size_t>(call->index));
  }

  void start(size_t t) {
    await_termination(t);
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

void start(const Call& call) { static_cast<StarpuTasks*>(call.set)->start(static_cast<size_t>(call.index)); }

}  // namespace

Codelet::Codelet() {
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

void Codelet::go_on() {
  goes_on = true;
  codelet.cpu_funcs[0] = run_and_go_on;
}

void Codelet::keep_to_kinds() { codelet.can_execute = can_execute; }

std::unique_ptr<TaskSet> make_starpu_tasks(const Codelet& codelet, const Timing& timing,
                                           const Buffers& buffers, const WorkerKinds& kinds,
                                           std::vector<EngineTask> tasks, TaskRunner& runner) {
  return std::make_unique<StarpuTasks>(codelet, timing, buffers, kinds, std::move(tasks), runner);
}

}  // namespace tessera
