// Choosing cuts.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/auto_tiling.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace tessera {
namespace {

constexpr int n_groups = 4;  // partial sums per tree: what lets nodes share rows later

// Flops of a row in the graph's matrix products, on average; those over the vocabulary are cut and left out.
double flops_per_row(const Graph& graph) {
  double flops = 0;
  int count = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "matmul" || node.backward_of >= 0) continue;
    const Shape &x = node.in[0].shape(), &y = node.out[0].shape();
    if (y.rank() != 2 || y[0].axis != "rows" || y[1].axis == "vocab") continue;
    flops += 2.0 * static_cast<double>(x[1].size) * static_cast<double>(y[1].size);
    ++count;
  }
  return count > 0 ? flops / count : 0;
}

constexpr double tile_seconds = 0.75e-3;  // of the usual product
constexpr int64_t least_rows = 128;

// Of the rows, what a kind's workers do of them.
double share(int64_t rows, const WorkerSpeed& kind, const std::vector<WorkerSpeed>& kinds) {
  double all = 0;
  for (const WorkerSpeed& other : kinds) all += other.workers * other.flops;
  return static_cast<double>(rows) * kind.workers * kind.flops / all;
}

// The fastest first, without those whose share is below their smallest tile.
std::vector<WorkerSpeed> kinds_worth_a_tile(int64_t rows, std::vector<WorkerSpeed> kinds) {
  std::ranges::stable_sort(kinds, std::greater(), &WorkerSpeed::flops);
  while (kinds.size() > 1 && share(rows, kinds.back(), kinds) < static_cast<double>(least_rows))
    kinds.pop_back();
  return kinds;
}

// Row tiles of one micro-batch for kinds that differ, the fastest kind's first; empty where one size suits.
std::vector<int64_t> unequal_row_tiles(int64_t rows, double row_flops,
                                       const std::vector<WorkerSpeed>& kinds) {
  constexpr double unlike = 1.5;
  const int64_t unit = std::gcd(rows, least_rows);
  const auto whole = [&](double size) {
    return std::max<int64_t>(unit, std::llround(size / static_cast<double>(unit)) * unit);
  };
  const auto smallest = [&](const WorkerSpeed& kind) {
    return whole(std::max<double>(least_rows, tile_seconds * kind.flops / row_flops));
  };
  if (kinds.size() < 2 || kinds.front().flops < unlike * kinds.back().flops || row_flops == 0) return {};
  std::vector<int64_t> tiles;
  int64_t left = rows;
  for (size_t k = 0; k < kinds.size() && left > 0; ++k) {
    const bool last = k + 1 == kinds.size();
    const int64_t mine = last ? left : std::min(left, whole(share(rows, kinds[k], kinds)));
    // At least a tile for each worker, so that none of them is left without.
    const int64_t size = std::min(smallest(kinds[k]), whole(static_cast<double>(mine) / kinds[k].workers));
    const int64_t count = std::max<int64_t>(1, (mine + size / 2) / size);
    for (int64_t i = 0; i < count; ++i)
      tiles.push_back(((i + 1) * (mine / unit) / count - i * (mine / unit) / count) * unit);
    left -= mine;
  }
  std::erase(tiles, 0);
  return tiles;
}

// Sizes of the row tiles of one micro-batch of `rows` rows: at least so many of them.
std::vector<int64_t> row_tiles(int64_t rows, int64_t sequence, int64_t tile_rows, int64_t fewest) {
  int64_t unit = sequence;  // a tile is so many of these
  if (unit > tile_rows || rows % unit != 0 || rows / unit < fewest) unit = 1;
  const int64_t units = rows / unit;
  const int64_t wanted = (rows + tile_rows - 1) / tile_rows;
  const int64_t count = std::clamp<int64_t>(std::max(wanted, fewest), 1, units);
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < count; ++i) sizes.push_back(((i + 1) * units / count - i * units / count) * unit);
  return sizes;
}

// Sizes in so many groups of equal count, as near as can be.
std::vector<std::vector<int64_t>> in_groups(const std::vector<int64_t>& sizes, size_t groups) {
  groups = std::min(groups, sizes.size());
  std::vector<std::vector<int64_t>> grouped(groups);
  for (size_t i = 0; i < sizes.size(); ++i) grouped[i * groups / sizes.size()].push_back(sizes[i]);
  return grouped;
}

struct Cutter {
  const AutoTilingOptions& options;
  double row_flops;

  std::vector<std::vector<int64_t>> rows(int64_t units) const {
    const int64_t part = units / options.micro_batches, parts = options.micro_batches;
    std::vector<int64_t> tiles;
    size_t groups = n_groups;
    if (const auto device = only_device(part, options.speeds); device && row_flops > 0) {
      const int64_t most = std::llround(tile_seconds * device->flops / row_flops);
      tiles = row_tiles(part, options.sequence, std::max(least_rows, std::min(part, most)), device->workers);
      groups = std::min<size_t>(n_groups, static_cast<size_t>(device->workers));
    } else {
      tiles = unequal_row_tiles(part, row_flops, kinds_worth_a_tile(part, options.speeds));
      if (tiles.empty())
        tiles = row_tiles(part, options.sequence, options.tile_rows, std::max<int64_t>(1, n_groups / parts));
    }
    std::vector<int64_t> sizes;
    for (int64_t m = 0; m < parts; ++m) sizes.insert(sizes.end(), tiles.begin(), tiles.end());
    return in_groups(sizes, groups);
  }

  // For matrix units: whole multiples of what they take at a time.
  static std::vector<std::vector<int64_t>> device_vocab(int64_t units) {
    constexpr int64_t multiple = 128, most = 16384;
    const int64_t whole = units / multiple, pieces = (units + most - 1) / most;
    std::vector<int64_t> sizes;
    for (int64_t i = 0; i < pieces; ++i)
      sizes.push_back(((i + 1) * whole / pieces - i * whole / pieces) * multiple);
    if (units % multiple != 0) sizes.push_back(units % multiple);
    std::erase(sizes, 0);
    return {sizes};
  }
};

int64_t rows_of(const Graph& graph) {
  for (const TensorInfo& info : graph.tensors())
    for (int d = 0; d < info.type.shape.rank(); ++d)
      if (info.type.shape[d].axis == "rows") return info.type.shape[d].units();
  return 0;
}

}  // namespace

std::optional<WorkerSpeed> only_device(int64_t rows, const std::vector<WorkerSpeed>& speeds) {
  constexpr double outweighs = 20;  // times all others together; of few rows every kind's share is small
  const std::vector<WorkerSpeed> kinds = kinds_worth_a_tile(rows, speeds);
  if (kinds.size() != 1 || !kinds[0].device || kinds[0].flops <= 0) return std::nullopt;
  const double its = kinds[0].workers * kinds[0].flops;
  double all = 0;
  for (const WorkerSpeed& kind : speeds) all += kind.workers * kind.flops;
  return its >= outweighs * (all - its) ? std::optional(kinds[0]) : std::nullopt;
}

Tiling auto_tiling(const Graph& graph, const AutoTilingOptions& options) {
  const Cutter cutter{options, flops_per_row(graph)};
  const bool device = only_device(rows_of(graph) / options.micro_batches, options.speeds).has_value();
  Tiling tiling;
  for (const TensorInfo& info : graph.tensors())
    for (int d = 0; d < info.type.shape.rank(); ++d) {
      const Dim& dim = info.type.shape[d];
      if (tiling.has(dim.axis)) continue;
      if (dim.axis == "rows") {
        tiling.cut("rows", cutter.rows(dim.units()));
      } else if (dim.axis == "vocab" && dim.units() > options.vocab_cols) {
        const int64_t count = (dim.units() + options.vocab_cols - 1) / options.vocab_cols;
        if (device)
          tiling.cut("vocab", Cutter::device_vocab(dim.units()));
        else
          tiling.cut_evenly("vocab", dim.units(), (dim.units() + count - 1) / count, n_groups);
      }
    }
  return tiling;
}

}  // namespace tessera
