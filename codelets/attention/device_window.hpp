// What attention's launches share: a window of row tiles packed for the kernels, and who sees whom in it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attention/attention_op.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

inline constexpr int64_t panel_rows = 64;  // PANEL in attention_gpu.cl

// Kinds of slots, to be added up.
inline constexpr int query_slots = 1, key_slots = 2, value_slots = 4;

// Rows are counted from the first row of the window.
struct DeviceWindow {
  const AttentionOp& op;
  DeviceQueue& queue;
  bool backward;
  HeadLayout layout;
  AttentionWindow window;
  std::span<const TileView> qkv, starts;
  TileView own;
  int n_panels, row_begin, n_rows, query_begin, n_queries;  // own rows, and rows with queries
  int heads, group, head_dim, words;  // heads of the cut; words of dropout's bits per row, 0 without
  float scale, factor;                // of scores; of what dropout keeps

  DeviceWindow(const TileArgs& args, DeviceQueue& to, bool back);

  // Whether attention_units_gpu.cl has kernels for it; else attention_gpu.cl has, which the others come from.
  bool on_matrix_units() const;
  DeviceKernel units_kernel(std::string_view name, int pass) const;  // its PASS
  Grid units_blocks(int64_t n_heads, int pass) const;
  Grid units_rows(int64_t n) const;  // of heads

  DeviceKernel kernel(std::string_view name) const;
  Grid blocks(int64_t n_heads) const;  // of the own rows
  int64_t slot_floats() const;         // of one head's query, key or value, packed
  int window_rows() const { return row_of(qkv.back()) + static_cast<int>(qkv.back().rows); }
  void* joined(std::span<const TileView> tiles) const;  // rows after rows, in one piece
  int row_of(const TileView& tile) const { return static_cast<int>(tile.row0 - qkv[0].row0); }

  // i32 per row: its keys are [first, last), its sequence ends at `end`.
  struct Spans {
    void *first, *last, *end;
  };
  Spans spans() const;
  void* keep_bits(const Spans& of, const TileView& rng) const;  // of dropout

  // Slots of a kind in panels or as rows of f32; a unit of the tile has `unit_group` queries, a key and a
  // value.
  struct Packing {
    int64_t unit_group;
    int panel_kinds, row_kinds;
    void *panels, *by_rows;
  };
  void pack(const TileView& tile, const Packing& to) const;
};

}  // namespace tessera
