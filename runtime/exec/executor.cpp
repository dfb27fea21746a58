// The executor: counters, steps in flight, feeds, fetches and failures.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/executor.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <set>

#include "runtime/core/error.hpp"

namespace tessera {

namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

template <class F>
void for_each_value(const TileView& view, F f) {
  for (int64_t i = 0; i < view.size(); ++i)
    f(view.dtype == DType::f32 ? view.as<float>()[i] : static_cast<float>(view.as<bf16>()[i]));
}

}  // namespace

// What exists once per step in flight, and once more so that a step's counters can be reset before anyone
// needs them.
struct Executor::Set {
  std::vector<std::atomic<int>> missing;  // predecessors per task
  std::atomic<int> remaining{0};          // tasks of the step
  int64_t step = -1;
  bool done = true;
  Memory memory;                 // inputs and fetches
  std::vector<std::byte*> data;  // per plan buffer; null elsewhere
  std::vector<BufferId> buffers;
  std::unique_ptr<Runner> runner;
  std::unique_ptr<TaskSet> tasks;
  Step result;
};

class Executor::Runner final : public TaskRunner {
 public:
  Runner(Executor& executor, Set& set) : executor_(executor), set_(set) {}
  void run(int task, int worker, void* const* pointers) noexcept override {
    executor_.execute(set_, task, worker, pointers);
  }
  void finished(int task) noexcept override { executor_.finished(set_, task); }

 private:
  Executor& executor_;
  Set& set_;
};

Executor::Executor(Session& session, Plan plan, const ExecutorOptions& options)
    : session_(session),
      plan_(std::move(plan)),
      options_(options),
      booking_{session.room_, session.book(plan_)} {
  session_.drain();
  session_.bind(plan_);
  std::vector<char> written(plan_.tiles.size(), 0);
  for (const Task& task : plan_.tasks)
    for (const Stage& stage : task.stages)
      for (const Access& access : stage.accesses)
        if (access.mode != Mode::read) written[static_cast<size_t>(access.tile)] = 1;
  std::set<std::string> mutated, refreshed;
  for (size_t id = 0; id < plan_.program.tensors.size(); ++id) {
    const TensorInfo& info = plan_.program.tensors[id];
    if (info.kind != TensorInfo::Kind::variable || plan_.grid[id].empty()) continue;
    if (!written[static_cast<size_t>(plan_.grid[id][0])]) continue;
    if (info.shadow_of < 0)
      mutated.insert(info.name);
    else
      refreshed.insert(plan_.program.tensors[static_cast<size_t>(info.shadow_of)].name);
  }
  std::set_difference(mutated.begin(), mutated.end(), refreshed.begin(), refreshed.end(),
                      std::back_inserter(mutated_without_shadow_));
  build_layouts();
  build_sets();
  records_.resize(static_cast<size_t>(session_.engine().workers()));
}

Executor::~Executor() {
  wait();
  session_.deactivate(this);
  for (auto& set : sets_) {
    set->tasks.reset();
    for (BufferId buffer : set->buffers)
      if (buffer >= 0) session_.engine().remove_buffer(buffer);
  }
  for (BufferId buffer : intermediates_)
    if (buffer >= 0) session_.engine().remove_buffer(buffer);
}

// Every stage's tiles as views whose data come from the task's accesses or from scratch.
void Executor::build_layouts() {
  for (const Task& task : plan_.tasks) {
    TaskLayout& layout = layouts_.emplace_back();
    std::vector<int> buffers;  // in the order of first use; build_sets lists the accesses alike
    std::vector<std::pair<TileId, int64_t>> scratch_at;
    for (const Stage& stage : task.stages) {
      auto& sources = layout.stages.emplace_back();
      for (const Access& access : stage.accesses) {
        const Tile& tile = plan_.tiles[static_cast<size_t>(access.tile)];
        TileView view{nullptr, tile.dtype, tile.rows, tile.cols, tile.row0, tile.col0};
        if (tile.residence == Residence::scratch) {
          auto known = std::find_if(scratch_at.begin(), scratch_at.end(),
                                    [&](auto& at) { return at.first == access.tile; });
          if (known == scratch_at.end()) {
            known = scratch_at.insert(scratch_at.end(), {access.tile, layout.scratch_bytes});
            layout.scratch_bytes += (tile.bytes() + 63) / 64 * 64;
          }
          view.data =
              reinterpret_cast<void*>(known->second);  // NOLINT(performance-no-int-to-ptr): an offset for now
          sources.push_back({-1, view});
          continue;
        }
        auto at = std::find(buffers.begin(), buffers.end(), tile.buffer);
        sources.push_back({static_cast<int>(at - buffers.begin()), view});
        if (at == buffers.end()) buffers.push_back(tile.buffer);
      }
    }
  }
}

void Executor::build_sets() {
  Engine& engine = session_.engine();
  auto aligned = [](int64_t bytes) { return static_cast<size_t>((bytes + 4095) / 4096 * 4096); };
  size_t arena = 0, per_set = 0;
  for (const Buffer& buffer : plan_.buffers) {
    if (buffer.residence == Residence::intermediate) arena += aligned(buffer.bytes);
    if (buffer.residence == Residence::input || buffer.residence == Residence::fetch)
      per_set += aligned(buffer.bytes);
  }
  arena_ = Memory(arena);
  intermediates_.assign(plan_.buffers.size(), -1);
  std::vector<BufferId> shared(plan_.buffers.size(), -1);
  size_t at = 0;
  for (size_t b = 0; b < plan_.buffers.size(); ++b)
    if (plan_.buffers[b].residence == Residence::intermediate) {
      shared[b] = intermediates_[b] = engine.add_buffer(arena_.data() + at, aligned(plan_.buffers[b].bytes));
      at += aligned(plan_.buffers[b].bytes);
    }
  for (size_t id = 0; id < plan_.program.tensors.size(); ++id)
    if (plan_.program.tensors[id].kind == TensorInfo::Kind::variable) {
      for (size_t k = 0; k < plan_.grid[id].size(); ++k)
        shared[static_cast<size_t>(plan_.tiles[static_cast<size_t>(plan_.grid[id][k])].buffer)] =
            session_.variable(plan_.program.tensors[id].name).buffers[k];
    }

  for (size_t t = 0; t < plan_.tasks.size(); ++t)
    if (plan_.tasks[t].n_before == 0) sources_.push_back(static_cast<int>(t));

  for (auto& slot : sets_) {
    slot = std::make_unique<Set>();
    Set& set = *slot;
    set.missing = std::vector<std::atomic<int>>(plan_.tasks.size());
    set.memory = Memory(per_set);
    set.data.assign(plan_.buffers.size(), nullptr);
    set.buffers.assign(plan_.buffers.size(), -1);
    std::vector<BufferId> buffers = shared;
    size_t from = 0;
    for (size_t b = 0; b < plan_.buffers.size(); ++b) {
      const Residence residence = plan_.buffers[b].residence;
      if (residence != Residence::input && residence != Residence::fetch) continue;
      set.data[b] = set.memory.data() + from;
      buffers[b] = set.buffers[b] = engine.add_buffer(set.data[b], aligned(plan_.buffers[b].bytes));
      from += aligned(plan_.buffers[b].bytes);
    }
    std::vector<EngineTask> tasks;
    for (const Task& task : plan_.tasks) {
      EngineTask& prepared = tasks.emplace_back();
      prepared.priority = task.priority;
      prepared.flops = task.flops;
      prepared.bytes = task.bytes;
      prepared.name = task.external() ? "external" : task.stages[0].kernel->name.data();
      for (const Stage& stage : task.stages)
        for (const Access& access : stage.accesses) {
          const Tile& tile = plan_.tiles[static_cast<size_t>(access.tile)];
          if (tile.residence == Residence::scratch) continue;
          const BufferId buffer = buffers[static_cast<size_t>(tile.buffer)];
          auto known = std::find_if(prepared.accesses.begin(), prepared.accesses.end(),
                                    [&](const EngineAccess& a) { return a.buffer == buffer; });
          if (known == prepared.accesses.end())
            prepared.accesses.push_back({buffer, access.mode});
          else if (known->mode == Mode::read && access.mode != Mode::read)
            known->mode = Mode::update;
        }
    }
    set.runner = std::make_unique<Runner>(*this, set);
    set.tasks = engine.prepare(std::move(tasks), *set.runner);
  }
}

Executor::Step Executor::run(std::span<const Feed> feeds) {
  session_.activate(this);
  for (auto& [name, variable] : session_.variables_)
    if (variable.stale) session_.refresh(variable);
  for (const std::string& name : mutated_without_shadow_) session_.mark_stale(name);
  const int64_t step = started_;
  wait_for(step - steps_in_flight);
  Set& set = *sets_[step % step_sets];
  collect(set);
  if (failed_) {
    wait();
    std::rethrow_exception(problem_);
  }
  feed(set, feeds);

  Set& later =
      *sets_[(step + 1) % step_sets];  // its last step is over, and nobody has decremented for the next
  auto reset = [&](Set& fresh, bool first) {
    for (size_t t = 0; t < plan_.tasks.size(); ++t) {
      const Task& task = plan_.tasks[t];
      fresh.missing[t] = task.n_before + (first ? 0 : task.n_before_step) + (task.n_before == 0);
    }
  };
  if (step == 0) reset(set, true);
  if (step > 0) collect(later);
  reset(later, false);
  set.remaining = static_cast<int>(plan_.tasks.size());
  set.result = Step();
  set.result.executor_ = this;
  set.result.index_ = step;
  set.result.values_ = std::make_shared<std::vector<std::vector<std::byte>>>();
  const Step result = set.result;
  {
    std::lock_guard lock(mutex_);
    set.step = step;
    set.done = plan_.tasks.empty();
  }
  ++started_;
  if (options_.record) step_starts_.push_back({step, now_ns()});
  for (int task : sources_) release(set, task);
  return result;
}

void Executor::feed(Set& set, std::span<const Feed> feeds) {
  for (size_t id = 0; id < plan_.program.tensors.size(); ++id) {
    const TensorInfo& info = plan_.program.tensors[id];
    if (info.kind != TensorInfo::Kind::input || plan_.grid[id].empty()) continue;
    auto found = std::find_if(feeds.begin(), feeds.end(),
                              [&](const Feed& f) { return f.tensor.id == static_cast<int>(id); });
    if (found == feeds.end()) throw error("run: input '{}' is not fed", info.name);
    if (static_cast<int64_t>(found->bytes) != info.type.bytes())
      throw error("run: input '{}' is {} of {} ({} bytes), not {} bytes", info.name,
                  to_string(info.type.shape), name_of(info.type.dtype), info.type.bytes(), found->bytes);
    const Shape& shape = info.type.shape;
    std::vector<std::byte*> tiles;
    for (TileId tile : plan_.grid[id]) {
      const auto buffer = static_cast<size_t>(plan_.tiles[static_cast<size_t>(tile)].buffer);
      tiles.push_back(set.data[buffer]);
      session_.engine().acquire(set.buffers[buffer], Mode::write);
    }
    scatter({shape.rank() > 0 ? plan_.tiling.cuts(shape[0]) : Cuts(1),
             shape.rank() > 1 ? plan_.tiling.cuts(shape[1]) : Cuts(1),
             {}},
            size_of(info.type.dtype), found->data, tiles);
    for (TileId tile : plan_.grid[id])
      session_.engine().release(
          set.buffers[static_cast<size_t>(plan_.tiles[static_cast<size_t>(tile)].buffer)]);
  }
}

void Executor::release(Set& set, int task) {
  if (set.missing[static_cast<size_t>(task)].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (!plan_.tasks[static_cast<size_t>(task)].external()) return set.tasks->submit(task);
  if (external_ && !failed_) return external_(task, [this, &set, task] { finished(set, task); });
  if (!failed_)
    fail(std::make_exception_ptr(
        failure("{}: nobody completes external tasks", plan_.tasks[static_cast<size_t>(task)].label)));
  finished(set, task);
}

void Executor::execute(Set& set, int task, int worker, void* const* pointers) noexcept {
  if (failed_.load(std::memory_order_relaxed)) return;
  const Task& what = plan_.tasks[static_cast<size_t>(task)];
  const TaskLayout& layout = layouts_[static_cast<size_t>(task)];
  thread_local std::vector<std::byte> local;
  if (static_cast<int64_t>(local.size()) < layout.scratch_bytes + 64)
    local.resize(static_cast<size_t>(layout.scratch_bytes + 64));
  std::byte* const base = local.data() + (64 - reinterpret_cast<uintptr_t>(local.data()) % 64) % 64;
  TileView views[64];
  std::vector<TileView> many;
  for (size_t s = 0; s < what.stages.size(); ++s) {
    const Stage& stage = what.stages[s];
    const auto& sources = layout.stages[s];
    TileView* view = views;
    if (sources.size() > std::size(views)) {
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
    try {
      stage.kernel->cpu({{view, sources.size()}, stage.op.get(), stage.params});
      if (options_.check_finite) check(stage, {view, sources.size()});
    } catch (const std::exception& problem) {
      release_scratch();
      return fail(std::make_exception_ptr(failure("{}: {}", stage.label, problem.what())));
    }
    release_scratch();
    if (options_.record)
      records_[static_cast<size_t>(worker)].push_back(
          {set.step, task, static_cast<int>(s), worker, begin, now_ns()});
  }
}

void Executor::check(const Stage& stage, std::span<const TileView> views) const {
  for (size_t k = 0; k < views.size(); ++k) {
    if (stage.accesses[k].mode == Mode::read || !is_float(views[k].dtype)) continue;
    bool finite = true;
    for_each_value(views[k], [&](float x) { finite = finite && std::isfinite(x); });
    if (!finite) throw failure("a value is not finite");
  }
}

void Executor::finished(Set& set, int task) noexcept {
  const Task& what = plan_.tasks[static_cast<size_t>(task)];
  Set& later = *sets_[(set.step + 1) % step_sets];
  for (int next : what.next_step) release(later, next);
  for (int next : what.next) release(set, next);
  if (set.remaining.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  std::lock_guard lock(mutex_);
  set.done = true;
  changed_.notify_all();
}

void Executor::fail(std::exception_ptr problem) {
  std::lock_guard lock(mutex_);
  if (failed_) return;
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

void Executor::clear_records() {
  for (auto& list : records_) list.clear();
  step_starts_.clear();
}

// Copies a finished step's fetches out of the set that the next one will use.
void Executor::collect(Set& set) {
  if (!set.result.values_ || !set.result.values_->empty()) return;
  for (int id : plan_.program.fetches) {
    const TensorInfo& info = plan_.program.tensors[static_cast<size_t>(id)];
    std::vector<std::byte> whole(static_cast<size_t>(info.type.bytes()));
    std::vector<std::byte*> tiles;
    for (TileId tile : plan_.grid[static_cast<size_t>(id)]) {
      const auto buffer = static_cast<size_t>(plan_.tiles[static_cast<size_t>(tile)].buffer);
      tiles.push_back(set.data[buffer]);
      if (tiles.back()) session_.engine().acquire(set.buffers[buffer], Mode::read);
    }
    const Shape& shape = info.type.shape;
    if (tiles[0])
      gather({shape.rank() > 0 ? plan_.tiling.cuts(shape[0]) : Cuts(1),
              shape.rank() > 1 ? plan_.tiling.cuts(shape[1]) : Cuts(1),
              {}},
             size_of(info.type.dtype), tiles, whole.data());
    for (TileId tile : plan_.grid[static_cast<size_t>(id)])
      if (const auto buffer = static_cast<size_t>(plan_.tiles[static_cast<size_t>(tile)].buffer);
          set.data[buffer])
        session_.engine().release(set.buffers[buffer]);
    set.result.values_->push_back(std::move(whole));
  }
}

void Executor::Step::wait() const {
  executor_->wait_for(index_);
  if (executor_->failed_) {
    executor_->wait();
    std::rethrow_exception(executor_->problem_);
  }
  Set& set = *executor_->sets_[index_ % step_sets];
  if (set.step == index_) executor_->collect(set);
}

namespace {

template <class T, class S>
std::vector<T> converted(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(S));
  for (size_t i = 0; i < values.size(); ++i) {
    S stored;
    std::memcpy(&stored, bytes.data() + i * sizeof(S), sizeof(S));
    values[i] = static_cast<T>(stored);
  }
  return values;
}

size_t fetch_index(const Plan& plan, Tensor tensor) {
  const auto& fetches = plan.program.fetches;
  auto found = std::find(fetches.begin(), fetches.end(), tensor.id);
  if (found == fetches.end())
    throw error("'{}' is not fetched: call graph.fetch() before the plan is made", tensor.name());
  return static_cast<size_t>(found - fetches.begin());
}

}  // namespace

std::vector<float> Executor::Step::get(Tensor tensor) const {
  wait();
  const std::vector<std::byte>& bytes = (*values_)[fetch_index(executor_->plan_, tensor)];
  switch (tensor.dtype()) {
    case DType::f32:
      return converted<float, float>(bytes);
    case DType::bf16:
      return converted<float, bf16>(bytes);
    case DType::i32:
      return converted<float, int32_t>(bytes);
    case DType::f16:
      break;
  }
  throw error("fetches of {} are not read back yet", name_of(tensor.dtype()));
}

std::vector<int32_t> Executor::Step::get_i32(Tensor tensor) const {
  wait();
  return converted<int32_t, int32_t>((*values_)[fetch_index(executor_->plan_, tensor)]);
}

}  // namespace tessera
