// Choosing cuts.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/auto_tiling.hpp"

#include <algorithm>

namespace tessera {
namespace {

constexpr int n_groups = 4;  // partial sums per tree: what lets nodes share rows later

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
        for (int64_t m = 0; m < options.micro_batches; ++m) {
          const std::vector<int64_t> tiles = row_tiles(part, options);
          sizes.insert(sizes.end(), tiles.begin(), tiles.end());
        }
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
