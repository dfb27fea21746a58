// Packing a window of row tiles for attention's kernels on devices.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/device_window.hpp"

#include <fmt/format.h>

#include <cmath>

namespace tessera {
namespace {

// Rows of a block in attention_units_gpu.cl.
int64_t units_block(int64_t head_dim, int pass, bool dropped) {
  return head_dim <= 64 && !(pass == 2 && dropped) ? 128 : 64;
}

int64_t width_of(int64_t head_dim) { return (head_dim + 63) / 64 * 64; }

// Of a block, so that local memory holds it.
int64_t block_rows(int64_t head_dim, bool backward) {
  const int64_t width = width_of(head_dim);
  if (width == 64) return backward ? 32 : 64;
  return width == 128 && !backward ? 32 : 16;
}

}  // namespace

DeviceWindow::DeviceWindow(const TileArgs& args, DeviceQueue& to, bool back)
    : op(args.attributes<AttentionOp>()),
      queue(to),
      backward(back),
      layout(op.layout()),
      window(AttentionWindow::of(args.params)),
      qkv(args.tiles.first(static_cast<size_t>(window.count))),
      starts(args.tiles.subspan(qkv.size(), static_cast<size_t>(window.count - window.q_begin))),
      own(qkv[static_cast<size_t>(window.own)]) {
  const TileView &first_query = qkv[static_cast<size_t>(window.q_begin)],
                 &last_query = qkv[static_cast<size_t>(window.q_end) - 1];
  n_panels = static_cast<int>((window_rows() + panel_rows - 1) / panel_rows);
  row_begin = row_of(own);
  n_rows = static_cast<int>(own.rows);
  query_begin = row_of(first_query);
  n_queries = static_cast<int>(row_of(last_query) + last_query.rows) - query_begin;
  group = static_cast<int>(layout.group());
  heads = static_cast<int>(own.cols / layout.qkv_unit()) * group;
  head_dim = static_cast<int>(layout.head_dim);
  words = op.options.dropout > 0 ? static_cast<int>((op.options.seq + 31) / 32) : 0;
  scale = 1 / std::sqrt(static_cast<float>(layout.head_dim));
  factor = DropoutRule(op.options.dropout).factor;
}

bool DeviceWindow::on_matrix_units() const {
  return queue.traits().matrix_units && own.dtype != DType::f32 && head_dim % 8 == 0 && head_dim <= 128;
}

DeviceKernel DeviceWindow::units_kernel(std::string_view name, int pass) const {
  return {"attention_units",
          name,
          {{"T", own.dtype},
           {"WIDTH", width_of(layout.head_dim)},
           {"PASS", pass},
           {"DROPPED", words > 0},
           {"MATRIX_UNITS", 1}}};
}

Grid DeviceWindow::units_blocks(int64_t n_heads, int pass) const {
  const int64_t rows = units_block(layout.head_dim, pass, words > 0);
  return {.groups = {(n_rows + rows - 1) / rows, n_heads, 1}, .items = {128, 1}};
}

Grid DeviceWindow::units_rows(int64_t n) const {
  constexpr int items = 128;
  const int64_t rows = items / (width_of(layout.head_dim) / 8);
  return {.groups = {(n + rows - 1) / rows, 1, 1}, .items = {items, 1}};
}

DeviceKernel DeviceWindow::kernel(std::string_view name) const {
  return {"attention",
          name,
          {{"T", own.dtype},
           {"WIDTH", width_of(layout.head_dim)},
           {"ROWS", block_rows(layout.head_dim, backward)},
           {"BACKWARD", int{backward}}}};
}

Grid DeviceWindow::blocks(int64_t n_heads) const {
  const int64_t rows = block_rows(layout.head_dim, backward);
  const int64_t first = row_begin / rows, end = (row_begin + n_rows + rows - 1) / rows;
  return {.groups = {end - first, n_heads, 1}, .items = {panel_rows, 1}};
}

int64_t DeviceWindow::slot_floats() const { return n_panels * panel_rows * width_of(layout.head_dim); }

void* DeviceWindow::joined(std::span<const TileView> tiles) const {
  if (tiles.size() == 1) return tiles[0].data;
  const auto bytes = [](const TileView& tile) {
    return tile.size() * static_cast<int64_t>(size_of(tile.dtype));
  };
  int64_t all = 0, at = 0;
  for (const TileView& tile : tiles) all += bytes(tile);
  void* together = queue.scratch_bytes(static_cast<size_t>(all));
  for (const TileView& tile : tiles) {
    queue.copy({.memory = together, .offset = at}, {.memory = tile.data}, 1, bytes(tile));
    at += bytes(tile);
  }
  return together;
}

DeviceWindow::Spans DeviceWindow::spans() const {
  const int64_t rows = n_panels * panel_rows;
  int64_t n = 0;
  for (const TileView& tile : starts) n += tile.rows;
  const void* together = joined(starts);
  const Spans spans{queue.scratch<int32_t>(rows), queue.scratch<int32_t>(rows), queue.scratch<int32_t>(rows)};
  void* fault =
      queue.fault(fmt::format("attention: row {{row}} is in the sequence that starts at row {{value}}, which "
                              "seq = {}{} does not allow",
                              op.options.seq, op.options.aligned ? ", aligned" : ""));
  queue.launch(kernel("spans"), for_each(rows), together, n, row_of(starts[0]), qkv[0].row0, op.options.seq,
               int{op.options.aligned}, int{op.options.causal}, rows, spans.first, spans.last, spans.end,
               fault);
  return spans;
}

void* DeviceWindow::keep_bits(const Spans& of, const TileView& rng) const {
  if (words == 0) return of.first;  // the kernels do not look
  const int64_t n = int64_t{heads} * n_queries * words;
  const auto element = [&](int64_t row, int64_t head) {
    return static_cast<int64_t>(op.first_element(row, head));
  };
  void* keep = queue.scratch<uint32_t>(n);
  queue.launch(kernel("keep_bits"), for_each(n), rng, op.options.stream,
               DropoutRule(op.options.dropout).least,
               element(qkv[0].row0 + query_begin, own.col0 / layout.qkv_unit() * group), element(1, 0),
               element(0, 1), heads, query_begin, n_queries, words, of.first, of.last, keep);
  return keep;
}

void DeviceWindow::pack(const TileView& tile, const Packing& to) const {
  const int row = row_of(tile);
  const bool last = tile.row0 + tile.rows == qkv.back().row0 + qkv.back().rows;  // fills the last panel up
  const int64_t n = last ? n_panels * panel_rows - row : tile.rows;
  const int64_t slots = tile.cols / layout.head_dim;
  queue.launch(
      kernel("pack"), {.groups = {(n + panel_rows - 1) / panel_rows, slots, 1}, .items = {panel_rows, 1}},
      tile, tile.cols, static_cast<int>(tile.rows), static_cast<int>(n), row, head_dim,
      static_cast<int>(to.unit_group), to.panel_kinds, to.row_kinds, to.panels, to.by_rows, n_panels);
}

}  // namespace tessera
