// `tiling = auto`: cuts chosen from the graph, so that the same model is cut alike on every machine whose
// workers are alike.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "runtime/core/tiling.hpp"
#include "runtime/graph/graph.hpp"

namespace tessera {

// Workers of one kind, and what each does per second: flops of matrix products, bytes of its memory.
struct WorkerSpeed {
  int workers = 1;
  double flops = 0;
  double memory_bytes = 0;
  bool device = false;  // none of the CPU's
};

struct AutoTilingOptions {
  int64_t sequence = 1;       // rows of a sequence: cuts fall between sequences where those are short
  int64_t micro_batches = 1;  // cuts fall between micro-batches
  int64_t tile_rows = 512;    // aimed at: weight gradients sum over many rows before they are added
  int64_t vocab_cols = 1536;  // logits of a tile stay below 2 MiB
  std::vector<WorkerSpeed> speeds = {};  // where kinds differ: each gets row tiles of its own size
};

// Rows in at least four tiles of four groups where there are enough of them; the vocabulary in even pieces.
//
// With speeds of unlike kinds, each kind is meant to do its share of the rows, in tiles that take it about
// 0.75 ms in a matrix product of the usual size, but of no fewer rows than products are still fast with: few
// large ones for a GPU, first, then many small ones for cores. A kind whose share is below its smallest tile
// gets none of its own; it helps out with others'. So where all kinds but one are that slow, or the kinds are
// nearly alike, the cuts are those of a machine of one kind.
//
// Where that kind is a device that outweighs all others together, it gets tiles as large as 0.75 ms allow,
// each device's rows in a group of their own, and the vocabulary in a few pieces of a multiple of 128
// columns, which matrix units like, with what is left over as a last one.
Tiling auto_tiling(const Graph& graph, const AutoTilingOptions& options);

// That device, where there is one, for so many rows in each micro-batch.
std::optional<WorkerSpeed> only_device(int64_t rows, const std::vector<WorkerSpeed>& speeds);

}  // namespace tessera
