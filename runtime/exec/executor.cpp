// The executor: counters, steps in flight and failures.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "runtime/core/error.hpp"
#include "runtime/core/f16.hpp"
#include "runtime/device/queue.hpp"
#include "runtime/exec/executor_set.hpp"

namespace tessera {

int64_t Executor::now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

namespace {

template <class T>
bool all_finite(const TileView& view) {
  for (int64_t i = 0; i < view.size(); ++i)
    if (!std::isfinite(static_cast<float>(view.as<T>()[i]))) return false;
  return true;
}

bool all_finite(const TileView& view) {
  switch (view.dtype) {
    case DType::f32:
      return all_finite<float>(view);
    case DType::bf16:
      return all_finite<bf16>(view);
    case DType::f16:
      return all_finite<f16>(view);
    case DType::i32:
      break;
  }
  return true;
}

// Memory for the tiles that live only within a task, one for every thread.
std::byte* task_scratch(int64_t bytes) {
  thread_local std::vector<std::byte> memory;
  if (static_cast<int64_t>(memory.size()) < bytes + 64) memory.resize(static_cast<size_t>(bytes + 64));
  return memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
}

}  // namespace

Executor::Step Executor::run(std::span<const Feed> feeds, const std::string& kinds) {
  check_feeds(feeds);
  check_kinds(kinds);
  session_.activate(this);
  for (const std::string& name : shadows_) session_.refresh(name);
  for (const std::string& name : changed_variables_) session_.mark_stale(name, refreshed_);
  const int64_t step = started_;
  wait_for(step - steps_in_flight);
  Set& set = *sets_[step % step_sets];
  Set& later = *sets_[(step + 1) % step_sets];
  if (failed_) {
    wait();
    std::rethrow_exception(problem_);
  }
  feed(set, feeds);

  auto reset = [&](Set& fresh, bool first) {
    for (size_t t = 0; t < plan_.tasks.size(); ++t) {
      const Task& task = plan_.tasks[t];
      fresh.missing[t] = task.n_before + (first ? 0 : task.n_before_step) + (task.n_before == 0);
    }
  };
  if (step == 0) reset(set, true);
  collect(later);
  reset(later, false);
  set.remaining = static_cast<int>(plan_.tasks.size());
  set.result = Step();
  set.result.executor_ = this;
  set.result.index_ = step;
  set.result.outcome_ = std::make_shared<Step::Outcome>();
  set.wanted = kinds;
  const Step result = set.result;
  {
    std::lock_guard lock(mutex_);
    set.step = step;
    set.done = plan_.tasks.empty();
  }
  ++started_;
  if (options_.record) step_starts_.push_back({step, now_ns()});
  // A few for each worker; whoever finishes a task starts one more, so that this thread, which is none of the
  // workers, does not compete with them for the cores and the scheduler's locks.
  const size_t at_once = std::min(sources_.size(), 16 * static_cast<size_t>(session_.engine().workers()));
  set.next_source = at_once;
  for (size_t k = 0; k < at_once; ++k) release(set, sources_[k]);
  return result;
}

void Executor::release_source(Set& set) {
  if (set.next_source.load(std::memory_order_relaxed) >= sources_.size()) return;
  const size_t k = set.next_source.fetch_add(1, std::memory_order_relaxed);
  if (k < sources_.size()) release(set, sources_[k]);
}

void Executor::release(Set& set, int task) {
  if (set.missing[static_cast<size_t>(task)].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (!plan_.tasks[static_cast<size_t>(task)].external())
    return set.tasks->submit(task,
                             set.wanted.empty() ? any_kind : set.wanted[static_cast<size_t>(task)] - 'a');
  auto over = std::make_shared<std::atomic<bool>>(false);
  auto done = [this, &set, task, over] {
    if (!over->exchange(true)) finished(set, task);
  };
  if (failed_) return done();
  try {
    if (!external_) throw failure("nobody completes tasks from outside; see on_external()");
    external_(task, done);
  } catch (...) {
    fail(plan_.tasks[static_cast<size_t>(task)].label);
    done();
  }
}

void Executor::execute(Set& set, int task, int worker, void* const* pointers) noexcept {
  set.ran[static_cast<size_t>(task)] = letter_of(kinds_.of[static_cast<size_t>(worker)]);
  if (DeviceQueue* queue = session_.engine().queue(worker))
    return launch_stages(set, task, worker, pointers, *queue);
  if (failed_.load(std::memory_order_relaxed)) return;
  const int64_t begin = now_ns();
  run_stages(set, task, worker, pointers);
  count(task, worker, now_ns() - begin);
}

void Executor::count(int task, int worker, int64_t nanoseconds) noexcept {
  Use& use = use_[static_cast<size_t>(worker)];
  ++use.tasks;
  use.flops += plan_.tasks[static_cast<size_t>(task)].flops;
  use.busy_ns += nanoseconds;
  PerformanceModel::Entry* history = histories_[static_cast<size_t>(task)];
  if (history && !failed_.load(std::memory_order_relaxed))
    PerformanceModel::add(*history, session_.engine().kind(worker), static_cast<double>(nanoseconds) * 1e-9);
}

void Executor::run_stages(Set& set, int task, int worker, void* const* pointers) noexcept {
  const Task& what = plan_.tasks[static_cast<size_t>(task)];
  size_t s = 0;
  try {
    std::byte* const base = task_scratch(layouts_[static_cast<size_t>(task)].scratch_bytes);
    for (; s < what.stages.size(); ++s) execute_stage(set, task, s, worker, pointers, base);
  } catch (...) {
    release_scratch();
    fail(what.stages[s].label);
  }
}

void Executor::execute_stage(Set& set, int task, size_t s, int worker, void* const* pointers,
                             std::byte* base) {
  const Stage& stage = plan_.tasks[static_cast<size_t>(task)].stages[s];
  const auto& sources = layouts_[static_cast<size_t>(task)].stages[s];
  TileView few[64];
  std::vector<TileView> many;
  TileView* view = few;
  if (sources.size() > std::size(few)) {
    many.resize(sources.size());
    view = many.data();
  }
  for (size_t k = 0; k < sources.size(); ++k) {
    view[k] = sources[k].view;
    view[k].data = sources[k].pointer >= 0 ? pointers[sources[k].pointer]
                                           : base + reinterpret_cast<intptr_t>(sources[k].view.data);
    if (options_.poison && stage.accesses[k].mode == Mode::write)
      std::memset(view[k].data, 0xff, static_cast<size_t>(view[k].size()) * size_of(view[k].dtype));
  }
  const int64_t begin = options_.record ? now_ns() : 0;
  stage.kernel->cpu({{view, sources.size()}, stage.op.get(), stage.params});
  if (options_.check_finite) check(stage, {view, sources.size()});
  release_scratch();
  if (options_.record) record({set.step, task, static_cast<int>(s), worker, begin, now_ns()});
}

void Executor::check(const Stage& stage, std::span<const TileView> views) {
  for (size_t k = 0; k < views.size(); ++k)
    if (stage.accesses[k].mode != Mode::read && !all_finite(views[k])) throw failure("a value is not finite");
}

void Executor::finished(Set& set, int task) noexcept {
  const Task& what = plan_.tasks[static_cast<size_t>(task)];
  Set& later = *sets_[(set.step + 1) % step_sets];
  for (int next : what.next_step) release(later, next);
  for (int next : what.next) release(set, next);
  release_source(set);
  if (set.remaining.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  std::lock_guard lock(mutex_);
  set.done = true;
  changed_.notify_all();
}

// Keeps the exception in flight, under the label of what it came from.
void Executor::fail(const std::string& label) noexcept {
  std::exception_ptr problem;
  try {
    throw;
  } catch (const std::exception& what) {
    problem = std::make_exception_ptr(failure("{}: {}", label, what.what()));
  } catch (...) {
    problem = std::make_exception_ptr(failure("{}: failed", label));
  }
  give_up(std::move(problem));
}

void Executor::give_up(std::exception_ptr problem) noexcept {
  std::lock_guard lock(mutex_);
  if (failed_) return;  // the first one wins
  problem_ = std::move(problem);
  failed_ = true;
}

void Executor::wait_for(int64_t step) {
  if (step < 0) return;
  Set& set = *sets_[step % step_sets];
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return set.step != step || set.done; });
}

void Executor::wait() {
  for (int64_t step = started_ - steps_in_flight; step < started_; ++step) wait_for(step);
}

std::vector<WorkerUse> Executor::worker_use() const {
  std::vector<WorkerUse> list;
  list.reserve(use_.size());
  const Engine& engine = session_.engine();
  for (size_t w = 0; w < use_.size(); ++w)
    list.push_back({.name = engine.worker_name(static_cast<int>(w)),
                    .tasks = use_[w].tasks,
                    .flops = use_[w].flops,
                    .busy_s = static_cast<double>(use_[w].busy_ns) * 1e-9,
                    .bytes_moved = engine.bytes_moved(static_cast<int>(w))});
  return list;
}

void Executor::clear_records() {
  for (auto& list : records_) list.clear();
  step_starts_.clear();
}

}  // namespace tessera
