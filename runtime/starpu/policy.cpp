// StarPU's hooks for a policy of ours: StarPU pushes ready tasks, its workers pop, and the dispatcher does
// the rest.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/starpu/policy.hpp"

#include <chrono>
#include <climits>

namespace tessera {
namespace {

StarpuPolicy* starting = nullptr;  // StarPU's init hook is not told whose it is; StarPU exists once

StarpuPolicy& policy_of(unsigned context) {
  return *static_cast<StarpuPolicy*>(starpu_sched_ctx_get_policy_data(context));
}

Call& call_of(starpu_task* task) { return *static_cast<Call*>(task->cl_arg); }
starpu_task* starpu(const ReadyTask& task) { return static_cast<const Call&>(task).task; }

// While a worker waits for a lock of ours, others may wake it.
class Relaxed {
 public:
  Relaxed() { starpu_worker_relax_on(); }
  ~Relaxed() { starpu_worker_relax_off(); }
  Relaxed(const Relaxed&) = delete;
  Relaxed& operator=(const Relaxed&) = delete;
};

}  // namespace

StarpuPolicy::StarpuPolicy(std::unique_ptr<Scheduler> policy, const EngineOptions& options)
    : waiting_(std::move(policy)), options_{options.scheduler, options.patience, options.explain} {
  hooks_.init_sched = init;
  hooks_.deinit_sched = deinit;
  hooks_.push_task = push;
  hooks_.pop_task = pop;
  hooks_.pre_exec_hook = pre_exec;
  hooks_.post_exec_hook = post_exec;
  hooks_.policy_name = options_.name.c_str();
  hooks_.policy_description = "a policy of Tessera's";
  hooks_.worker_type = STARPU_WORKER_LIST;
  starting = this;
}

StarpuPolicy::~StarpuPolicy() { starting = nullptr; }

void StarpuPolicy::check() const {
  if (problem_) std::rethrow_exception(problem_);
}

void StarpuPolicy::begin() {
  for (unsigned w = 0; w < starpu_worker_get_count(); ++w) {
    const starpu_worker_archtype type = starpu_worker_get_type(static_cast<int>(w));
    const WorkerKind kind = type == STARPU_CUDA_WORKER     ? WorkerKind::cuda
                            : type == STARPU_OPENCL_WORKER ? WorkerKind::opencl
                                                           : WorkerKind::cpu;
    workers_.push_back({kind, starpu_worker_get_devid(static_cast<int>(w)),
                        static_cast<int>(starpu_worker_get_memory_node(w))});
    one_memory_ = one_memory_ && workers_[w].memory == workers_[0].memory;
  }
  Workplace& place = *this;
  dispatcher_ = std::make_unique<Dispatcher>(std::move(waiting_), place, options_);
}

void StarpuPolicy::share_memory() {
  for (Worker& worker : workers_) worker.memory = STARPU_MAIN_RAM;
  one_memory_ = true;
}

void StarpuPolicy::init(unsigned context) {
  StarpuPolicy& self = *starting;
  starpu_sched_ctx_set_policy_data(context, &self);
  starpu_sched_ctx_set_min_priority(context, INT_MIN);
  starpu_sched_ctx_set_max_priority(context, INT_MAX);
  try {
    self.begin();
  } catch (...) {
    self.problem_ = std::current_exception();
  }
}

int StarpuPolicy::push(starpu_task* task) {
  starpu_push_task_end(task);  // first: once the dispatcher has it, the task may be gone at any moment
  const Relaxed relaxed;
  policy_of(task->sched_ctx).dispatcher_->ready(call_of(task));
  return 0;
}

starpu_task* StarpuPolicy::pop(unsigned context) {
  StarpuPolicy& self = policy_of(context);
  if (!self.dispatcher_) return nullptr;  // StarPU is about to end: see check()
  const Relaxed relaxed;
  const auto* call = static_cast<Call*>(self.dispatcher_->next(starpu_worker_get_id()));
  return call ? call->task : nullptr;
}

void StarpuPolicy::pre_exec(starpu_task* task, unsigned context) {
  policy_of(context).dispatcher_->started(call_of(task));
}

void StarpuPolicy::post_exec(starpu_task* task, unsigned context) {
  policy_of(context).dispatcher_->done(call_of(task), starpu_worker_get_id());
}

double StarpuPolicy::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::optional<Expected> StarpuPolicy::expected(const ReadyTask& task, WorkerId worker) const {
  if (!starpu_worker_can_execute_task_first_impl(static_cast<unsigned>(worker), starpu(task), nullptr))
    return std::nullopt;
  return expected_seconds(static_cast<const Call&>(task), worker);
}

int64_t StarpuPolicy::missing_bytes(const ReadyTask& task, WorkerId worker) const {
  if (one_memory_) return 0;
  const auto node = static_cast<unsigned>(workers_[static_cast<size_t>(worker)].memory);
  int64_t missing = 0;
  for (size_t k = 0; k < task.accesses.size(); ++k)
    if (task.accesses[k].reads && !starpu_data_is_on_node(STARPU_TASK_GET_HANDLE(starpu(task), k), node))
      missing += task.accesses[k].bytes;
  return missing;
}

double StarpuPolicy::transfer_seconds(const ReadyTask& task, WorkerId worker) const {
  if (one_memory_) return 0;
  return starpu_task_expected_data_transfer_time_for(starpu(task), static_cast<unsigned>(worker)) * 1e-6;
}

void StarpuPolicy::wake(WorkerId worker) { starpu_wake_worker_relax_light(worker); }

void StarpuPolicy::fail(const ReadyTask& task, const std::string& message) noexcept {
  static_cast<const Call&>(task).runner->failed(message);
}

}  // namespace tessera
