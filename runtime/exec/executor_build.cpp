// Building an executor: buffers, the engine's tasks, and which variables change.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/exec/executor_set.hpp"

namespace tessera {

Executor::Executor(Session& session, Plan plan, const ExecutorOptions& options)
    : session_(session),
      kinds_(session.engine().kinds()),
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
  for (size_t id = 0; id < plan_.program.tensors.size(); ++id) {
    const TensorInfo& info = plan_.program.tensors[id];
    if (info.kind != TensorInfo::Kind::variable || plan_.grid[id].empty()) continue;
    const bool changes = written[static_cast<size_t>(plan_.grid[id][0])];
    if (info.shadow_of >= 0) shadows_.push_back(info.name);
    if (changes) (info.shadow_of >= 0 ? refreshed_ : changed_variables_).push_back(info.name);
  }
  build_layouts();
  if (PerformanceModel* model = session_.engine().model())
    for (const Task& task : plan_.tasks) histories_.push_back(&model->entry(cost_of(plan_, task)));
  histories_.resize(plan_.tasks.size());
  build_sets();
  records_.resize(static_cast<size_t>(session_.engine().workers()));
  use_.resize(records_.size());
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
      engine.set_temporary(shared[b]);
      at += aligned(plan_.buffers[b].bytes);
    }
  for (size_t id = 0; id < plan_.program.tensors.size(); ++id)
    if (plan_.program.tensors[id].kind == TensorInfo::Kind::variable) {
      for (size_t k = 0; k < plan_.grid[id].size(); ++k)
        shared[static_cast<size_t>(plan_.tiles[static_cast<size_t>(plan_.grid[id][k])].buffer)] =
            session_.variable(plan_.program.tensors[id].name).tiles[k].buffer;
    }

  for (size_t t = 0; t < plan_.tasks.size(); ++t)
    if (plan_.tasks[t].n_before == 0) sources_.push_back(static_cast<int>(t));
  for (const Task& task : plan_.tasks) on_device_.push_back(runs_on_device(task));

  for (auto& slot : sets_) {
    slot = std::make_unique<Set>();
    Set& set = *slot;
    set.missing = std::vector<std::atomic<int>>(plan_.tasks.size());
    set.ran.assign(plan_.tasks.size(), no_kind);
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
      prepared.history = histories_[tasks.size() - 1];
      prepared.priority = task.priority;
      prepared.flops = task.flops;
      prepared.bytes = task.bytes;
      prepared.on_device = on_device_[tasks.size() - 1];
      prepared.on_cpu = !plan_.for_one_device;
      prepared.label = task.label;
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

}  // namespace tessera
