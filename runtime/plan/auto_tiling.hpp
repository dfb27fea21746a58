// `tiling = auto`: cuts chosen from the graph alone, so that the same model is cut alike on every machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/core/tiling.hpp"
#include "runtime/graph/graph.hpp"

namespace tessera {

struct AutoTilingOptions {
  int64_t sequence = 1;       // rows of a sequence: cuts fall between sequences where those are short
  int64_t micro_batches = 1;  // cuts fall between micro-batches
  int64_t tile_rows = 256;    // aimed at: a row tile's activations and a weight share a core's L2
  int64_t vocab_cols = 1536;  // logits of a tile stay below 2 MiB
};

// Rows in at least four tiles of four groups where there are enough of them; the vocabulary in even pieces.
Tiling auto_tiling(const Graph& graph, const AutoTilingOptions& options);

}  // namespace tessera
