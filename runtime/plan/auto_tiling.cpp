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

// Row tiles of one micro-batch for kinds that differ, the fastest kind's first; empty where one size suits.
std::vector<int64_t> unequal_row_tiles(int64_t rows, double row_flops, const AutoTilingOptions& options) {
  constexpr double seconds = 0.75e-3, unlike = 1.5;
  constexpr int64_t least = 128;
  const int64_t unit = std::gcd(rows, least);
  const auto whole = [&](double size) {
    return std::max<int64_t>(unit, std::llround(size / static_cast<double>(unit)) * unit);
  };
  std::vector<WorkerSpeed> kinds = options.speeds;
  std::ranges::stable_sort(kinds, std::greater(), &WorkerSpeed::flops);
  const auto smallest = [&](const WorkerSpeed& kind) {
    return whole(std::max<double>(least, seconds * kind.flops / row_flops));
  };
  const auto share = [&](const WorkerSpeed& kind) {
    double all = 0;
    for (const WorkerSpeed& other : kinds) all += other.workers * other.flops;
    return static_cast<double>(rows) * kind.workers * kind.flops / all;
  };
  while (kinds.size() > 1 && share(kinds.back()) < static_cast<double>(least)) kinds.pop_back();
  if (kinds.size() < 2 || kinds.front().flops < unlike * kinds.back().flops || row_flops == 0) return {};
  std::vector<int64_t> tiles;
  int64_t left = rows;
  for (size_t k = 0; k < kinds.size() && left > 0; ++k) {
    const bool last = k + 1 == kinds.size();
    const int64_t mine = last ? left : std::min(left, whole(share(kinds[k])));
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

// Sizes of the row tiles of one micro-batch of `rows` rows.
std::vector<int64_t> row_tiles(int64_t rows, const AutoTilingOptions& options) {
  const int64_t fewest = std::max<int64_t>(1, n_groups / options.micro_batches);
  int64_t unit = options.sequence;  // a tile is so many of these
  if (unit > options.tile_rows || rows % unit != 0 || rows / unit < fewest) unit = 1;
  const int64_t units = rows / unit;
  const int64_t wanted = (rows + options.tile_rows - 1) / options.tile_rows;
  const int64_t count = std::clamp<int64_t>(std::max(wanted, fewest), 1, units);
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < count; ++i) sizes.push_back(((i + 1) * units / count - i * units / count) * unit);
  return sizes;
}

}  // namespace

Tiling auto_tiling(const Graph& graph, const AutoTilingOptions& options) {
  Tiling tiling;
  for (const TensorInfo& info : graph.tensors())
    for (int d = 0; d < info.type.shape.rank(); ++d) {
      const Dim& dim = info.type.shape[d];
      if (tiling.has(dim.axis)) continue;
      if (dim.axis == "rows") {
        const int64_t part = dim.units() / options.micro_batches;
        std::vector<int64_t> sizes;
        std::vector<int64_t> tiles;
        if (options.speeds.size() > 1) tiles = unequal_row_tiles(part, flops_per_row(graph), options);
        if (tiles.empty()) tiles = row_tiles(part, options);
        for (int64_t m = 0; m < options.micro_batches; ++m)
          sizes.insert(sizes.end(), tiles.begin(), tiles.end());
        const size_t groups = std::min<size_t>(n_groups, sizes.size());
        std::vector<std::vector<int64_t>> grouped(groups);
        for (size_t i = 0; i < sizes.size(); ++i) grouped[i * groups / sizes.size()].push_back(sizes[i]);
        tiling.cut("rows", std::move(grouped));
      } else if (dim.axis == "vocab" && dim.units() > options.vocab_cols) {
        const int64_t count = (dim.units() + options.vocab_cols - 1) / options.vocab_cols;
        tiling.cut_evenly("vocab", dim.units(), (dim.units() + count - 1) / count, n_groups);
      }
    }
  return tiling;
}

}  // namespace tessera
