// Lowering: tiles of tensors, re-tiles, and the shape of sums.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/lowering.hpp"

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

// Beyond these a plan is a mistake in sizes, and would only fill the memory.
constexpr size_t most_tiles = size_t{1} << 23, most_tasks = size_t{1} << 22;

[[noreturn]] void too_many(size_t most, std::string_view what) {
  throw error("the plan has more than {} {}; take larger tiles (run.tiling), or a smaller batch or model",
              most, what);
}

}  // namespace

const Kernel& kernel_named(std::string_view name) {
  for (const OpEntry& entry : op_table())
    for (const Kernel* kernel : entry.kernels)
      if (kernel->name == name) return *kernel;
  throw error("no op has a kernel named '{}'", name);
}

TileId PlanBuilder::add_tile(Tile tile) {
  if (plan_.tiles.size() >= most_tiles) too_many(most_tiles, "tiles");
  plan_.tiles.push_back(tile);
  return static_cast<int>(plan_.tiles.size()) - 1;
}

const TileGrid& PlanBuilder::grid_of(int tensor) {
  auto& grid = grids_[static_cast<size_t>(tensor)];
  if (grid) return *grid;
  const TensorInfo& info = plan_.program.tensors[static_cast<size_t>(tensor)];
  const Shape& shape = info.type.shape;
  grid = std::make_unique<TileGrid>();
  grid->rows = shape.rank() > 0 ? plan_.tiling.cuts(shape[0]) : Cuts(1);
  grid->cols = shape.rank() > 1 ? plan_.tiling.cuts(shape[1]) : Cuts(1);
  const Residence residence = info.kind == TensorInfo::Kind::input      ? Residence::input
                              : info.kind == TensorInfo::Kind::variable ? Residence::variable
                                                                        : Residence::intermediate;
  for (int i = 0; i < grid->rows.count(); ++i)
    for (int j = 0; j < grid->cols.count(); ++j)
      grid->tiles.push_back(add_tile({.tensor = tensor,
                                      .dtype = info.type.dtype,
                                      .rows = grid->rows.size(i),
                                      .cols = grid->cols.size(j),
                                      .row0 = grid->rows.begin(i),
                                      .col0 = grid->cols.begin(j),
                                      .residence = residence}));
  return *grid;
}

void PlanBuilder::lower_all() {
  grids_.resize(plan_.program.tensors.size());
  plan_.fetched.resize(plan_.program.fetches.size());
  for (size_t k = 0; k < plan_.fetched.size(); ++k)
    if (plan_.program.tensors[static_cast<size_t>(plan_.program.fetches[k])].kind != TensorInfo::Kind::result)
      fetch(k);
  for (const Node& node : plan_.program.nodes) {
    lower(node);
    for (size_t k = 0; k < plan_.fetched.size(); ++k)
      for (Tensor out : node.out)
        if (out.id == plan_.program.fetches[k]) fetch(k);
  }
  plan_.grid.resize(plan_.program.tensors.size());
  for (size_t id = 0; id < grids_.size(); ++id)
    if (grids_[id]) plan_.grid[id] = grids_[id]->tiles;
}

// What a step computes is kept where it is; a variable goes on changing, so it is copied as it is now.
void PlanBuilder::fetch(size_t k) {
  const int tensor = plan_.program.fetches[k];
  const TileGrid& grid = grid_of(tensor);
  for (size_t at = 0; at < grid.tiles.size(); ++at) {
    const TileId id = grid.tiles[at];
    Tile tile = plan_.tiles[static_cast<size_t>(id)];
    if (tile.residence == Residence::intermediate)
      plan_.tiles[static_cast<size_t>(id)].residence = Residence::fetch;
    if (tile.residence != Residence::variable) {
      plan_.fetched[k].push_back(id);
      continue;
    }
    tile.residence = Residence::fetch;
    tile.tensor = tensor;
    const TileId copy = add_tile(tile);
    plan_.fetched[k].push_back(copy);
    const int cols = grid.cols.count(), index = static_cast<int>(at);
    const std::string label =
        fmt::format("fetch {}[{},{}]", plan_.program.tensors[static_cast<size_t>(tensor)].name, index / cols,
                    index % cols);
    Stage stage;
    stage.kernel = &kernel_named("retile");
    stage.accesses = {read(id), write(copy)};
    stage.label = label;
    Task task;
    task.label = label;
    task.bytes = 2 * tile.bytes();
    task.stages.push_back(std::move(stage));
    plan_.tasks.push_back(std::move(task));
  }
}

void PlanBuilder::lower(const Node& node) {
  for (size_t k = 0; k < node.out.size(); ++k)
    if (int source = node.op->alias(static_cast<int>(k)); source >= 0) {
      const TileGrid& taken = grid_of(node.in[static_cast<size_t>(source)].id);
      grids_[static_cast<size_t>(node.out[k].id)] = std::make_unique<TileGrid>(taken);
    }
  Lowering lowering(*this, node);
  node.op->lower(lowering);
}

const TensorType& Lowering::in_type(int k) const {
  return plan_.plan_.program.tensors[static_cast<size_t>(node_.in[static_cast<size_t>(k)].id)].type;
}
const TensorType& Lowering::out_type(int k) const {
  return plan_.plan_.program.tensors[static_cast<size_t>(node_.out[static_cast<size_t>(k)].id)].type;
}
const TileLayout* Lowering::layout(int k) const {
  return plan_.plan_.layout_of(static_cast<size_t>(node_.in[static_cast<size_t>(k)].id));
}
const TileGrid& Lowering::in(int k) const { return plan_.grid_of(node_.in[static_cast<size_t>(k)].id); }
const TileGrid& Lowering::out(int k) const { return plan_.grid_of(node_.out[static_cast<size_t>(k)].id); }
const Tile& Lowering::tile(TileId id) const { return plan_.plan_.tiles[static_cast<size_t>(id)]; }

TileGrid Lowering::in(int k, const Cuts& rows, const Cuts& cols) {
  const TileGrid& source = in(k);
  if (source.rows.total() != rows.total() || source.cols.total() != cols.total())
    throw error("{}: input {} is {}, which cuts of [{}, {}] do not cover", node_.op->name(), k,
                to_string(in_type(k).shape), rows.total(), cols.total());
  if (source.rows == rows && source.cols == cols) return source;
  auto same_bounds = [](const Cuts& a, const Cuts& b) {
    if (a.count() != b.count()) return false;
    for (int i = 0; i < a.count(); ++i)
      if (a.end(i) != b.end(i)) return false;
    return true;
  };
  TileGrid target{rows, cols, {}};
  if (same_bounds(source.rows, rows) && same_bounds(source.cols, cols)) {
    target.tiles = source.tiles;
    return target;
  }
  if (const TileLayout* layout = this->layout(k))
    throw error("{}: input {} lies as {}, which cannot be cut otherwise; give it the cuts of the op",
                node_.op->name(), k, layout->name);
  const Kernel& kernel = kernel_named("retile");
  const DType dtype = in_type(k).dtype;
  for (int i = 0; i < rows.count(); ++i)
    for (int j = 0; j < cols.count(); ++j) {
      const TileId to = temporary(dtype, rows.size(i), cols.size(j), rows.begin(i), cols.begin(j));
      std::vector<Access> accesses;
      for (int a = source.rows.cut_of(rows.begin(i)); a <= source.rows.cut_of(rows.end(i) - 1); ++a)
        for (int b = source.cols.cut_of(cols.begin(j)); b <= source.cols.cut_of(cols.end(j) - 1); ++b)
          accesses.push_back(read(source(a, b)));
      accesses.push_back(write(to));
      task(kernel, std::move(accesses), {.index = {i, j}});
      target.tiles.push_back(to);
    }
  plan_.plan_.notes.push_back(fmt::format("{}{}{}: input {} is re-tiled ({} tiles)", node_.scope,
                                          node_.scope.empty() ? "" : "/", node_.op->name(), k,
                                          target.tiles.size()));
  return target;
}

void Lowering::task(const Kernel& kernel, std::vector<Access> accesses, TaskOptions options) {
  if (plan_.plan_.tasks.size() >= most_tasks) too_many(most_tasks, "tasks");
  std::string name(kernel.name);
  const bool backward = node_.backward_of >= 0;
  if (size_t suffix = name.rfind("_backward"); suffix != std::string::npos && suffix + 9 == name.size())
    name.resize(suffix);
  std::string label = fmt::format("{}{}{}[{},{}]{}", node_.scope, node_.scope.empty() ? "" : "/", name,
                                  options.index[0], options.index[1], backward ? " backward" : "");
  Task task;
  for (const Access& access : accesses)
    task.bytes += tile(access.tile).bytes() * (access.mode == Mode::update ? 2 : 1);
  task.flops = options.flops;
  task.label = label;
  task.stages.push_back({.kernel = &kernel,
                         .op = node_.op,
                         .accesses = std::move(accesses),
                         .params = options.params,
                         .flops = options.flops,
                         .label = std::move(label)});
  plan_.plan_.tasks.push_back(std::move(task));
}

TileId Lowering::temporary(DType dtype, int64_t rows, int64_t cols, int64_t row0, int64_t col0) {
  return plan_.add_tile({.dtype = dtype, .rows = rows, .cols = cols, .row0 = row0, .col0 = col0});
}

TileId Lowering::tree(std::vector<TileId> parts) {
  const Kernel& accumulate = kernel_named("accumulate");
  const size_t n = parts.size();
  for (size_t stride = 1; stride < n; stride *= 2)
    for (size_t at = 0; at + stride < n; at += 2 * stride)
      task(accumulate, {read(parts[at + stride]), update(parts[at])},
           {.flops = static_cast<double>(tile(parts[at]).rows * tile(parts[at]).cols),
            .index = {static_cast<int>(at), static_cast<int>(at + stride)}});
  return parts[0];
}

void Lowering::reduce(TileId into, const Cuts& over,
                      const std::function<void(int cut, TileId accumulator, bool first)>& add) {
  reduce(std::vector{into}, over,
         [&](int cut, std::span<const TileId> sums, bool first) { add(cut, sums[0], first); });
}

void Lowering::reduce(
    const std::vector<TileId>& into, const Cuts& over,
    const std::function<void(int cut, std::span<const TileId> accumulators, bool first)>& add) {
  auto direct = [&](TileId target) { return tile(target).dtype == DType::f32 || over.count() == 1; };
  std::vector<std::vector<TileId>> parts(into.size());  // per sum, one part per group
  for (int group = 0; group < over.group_count(); ++group) {
    std::vector<TileId> sums;
    for (TileId target : into) {
      const Tile like = tile(target);
      const bool here = group == 0 && direct(target);
      sums.push_back(here ? target : temporary(DType::f32, like.rows, like.cols, like.row0, like.col0));
      parts[sums.size() - 1].push_back(sums.back());
    }
    for (int cut = over.group_begin(group); cut < over.group_end(group); ++cut)
      add(cut, sums, cut == over.group_begin(group));
  }
  for (size_t k = 0; k < into.size(); ++k) {
    const TileId total = tree(parts[k]);
    if (!direct(into[k])) task(kernel_named("cast"), {read(total), write(into[k])});
  }
}

}  // namespace tessera
