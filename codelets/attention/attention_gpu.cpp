// attention on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/device_window.hpp"

namespace tessera {

// tiles: see AttentionWindow
void attention_gpu(const TileArgs& args, DeviceQueue& queue) {
  const DeviceWindow at(args, queue, false);
  const TileView &o = args[args.count() - 2], &lse = args[args.count() - 1];
  const DeviceWindow::Spans spans = at.spans();
  const void* keep = at.keep_bits(spans, args[args.count() - 3]);
  if (at.on_matrix_units())
    return queue.launch(at.units_kernel("attention", 0), at.units_blocks(at.heads, 0), at.joined(at.qkv),
                        at.window_rows(), spans.first, spans.last, keep, o, lse, at.row_begin, at.n_rows,
                        at.head_dim, at.group, at.scale, at.factor, at.words);
  void* packed = queue.scratch<float>(at.own.cols / at.layout.head_dim * at.slot_floats());
  for (const TileView& tile : at.qkv)
    at.pack(tile, {.unit_group = at.group,
                   .panel_kinds = key_slots + (tile.data == at.own.data ? query_slots : 0),
                   .row_kinds = value_slots,
                   .panels = packed,
                   .by_rows = packed});
  queue.launch(at.kernel("attention"), at.blocks(at.heads), packed, spans.first, spans.last, keep, o, lse,
               at.n_panels, at.row_begin, at.n_rows, at.head_dim, at.group, at.scale, at.factor, at.words);
}

namespace {

// Of the tiles with queries: o, lse and d_o.
struct OfQueries {
  std::span<const TileView> o, lse, d_o;

  OfQueries(const TileArgs& args, const DeviceWindow& at) {
    const auto all = args.tiles.subspan(at.qkv.size() + at.starts.size());
    const auto n = static_cast<size_t>(at.window.q_end - at.window.q_begin);
    o = all.first(n);
    lse = all.subspan(n, n);
    d_o = all.subspan(2 * n, n);
  }
};

// By head: Σ d_o o of every row, and its log-sum-exp in powers of two.
struct RowSums {
  void *delta, *lse2;

  RowSums(const OfQueries& of, const DeviceWindow& at)
      : delta(at.queue.scratch<float>(int64_t{at.heads} * at.n_queries)),
        lse2(at.queue.scratch<float>(int64_t{at.heads} * at.n_queries)) {
    const bool units = at.on_matrix_units();
    for (size_t t = 0; t < of.o.size(); ++t)
      at.queue.launch(units ? at.units_kernel("attention_row_sums", 3) : at.kernel("row_sums"),
                      units ? at.units_rows(of.lse[t].size()) : for_each(of.lse[t].size()), of.o[t],
                      of.lse[t], of.d_o[t], static_cast<int>(of.lse[t].rows), at.heads, at.head_dim,
                      at.row_of(of.o[t]) - at.query_begin, at.n_queries, delta, lse2);
  }
};

void backward_on_matrix_units(const DeviceWindow& at, const DeviceWindow::Spans& spans, const void* keep,
                              const OfQueries& of, const TileView& d_qkv) {
  const RowSums sums(of, at);
  const void *qkv = at.joined(at.qkv), *d_o = at.joined(of.d_o);
  at.queue.launch(at.units_kernel("attention_d_queries", 1), at.units_blocks(at.heads, 1), qkv,
                  at.window_rows(), d_o, spans.first, spans.last, sums.lse2, sums.delta, keep, d_qkv,
                  at.row_begin, at.n_rows, at.query_begin, at.n_queries, at.head_dim, at.group, at.scale,
                  at.factor, at.words);
  at.queue.launch(at.units_kernel("attention_d_keys", 2), at.units_blocks(at.heads / at.group, 2), qkv,
                  at.window_rows(), d_o, spans.first, spans.last, spans.end, sums.lse2, sums.delta, keep,
                  d_qkv, at.row_begin, at.n_rows, at.query_begin, at.n_queries, at.head_dim, at.group,
                  int{at.op.options.causal}, at.scale, at.factor, at.words);
}

}  // namespace

// tiles: see AttentionWindow
void attention_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  const DeviceWindow at(args, queue, true);
  const TileView& d_qkv = args[args.count() - 1];
  const DeviceWindow::Spans spans = at.spans();
  const void* keep = at.keep_bits(spans, args[args.count() - 2]);
  const OfQueries of(args, at);
  if (at.on_matrix_units()) return backward_on_matrix_units(at, spans, keep, of, d_qkv);
  const int64_t slots = at.own.cols / at.layout.head_dim;
  void *panels = queue.scratch<float>(slots * at.slot_floats()),
       *by_rows = queue.scratch<float>(slots * at.slot_floats()),
       *d_o_panels = queue.scratch<float>(at.heads * at.slot_floats()),
       *d_o_rows = queue.scratch<float>(at.heads * at.slot_floats());
  for (const TileView& tile : at.qkv)
    at.pack(tile, {.unit_group = at.group,
                   .panel_kinds = query_slots + key_slots + value_slots,
                   .row_kinds = query_slots + key_slots,
                   .panels = panels,
                   .by_rows = by_rows});
  if (at.query_begin % panel_rows != 0)  // what lies before the first query counts for nothing, but is read
    for (void* d_o : {d_o_panels, d_o_rows})
      queue.fill(d_o, at.heads * at.slot_floats() * int64_t{sizeof(float)}, 0);
  const auto [delta, lse2] = RowSums(of, at);
  for (const TileView& d_o : of.d_o)
    at.pack(d_o, {.unit_group = at.heads,
                  .panel_kinds = query_slots,
                  .row_kinds = query_slots,
                  .panels = d_o_panels,
                  .by_rows = d_o_rows});
  queue.launch(at.kernel("attention_d_queries"), at.blocks(at.heads), panels, by_rows, d_o_panels,
               spans.first, spans.last, lse2, delta, keep, d_qkv, at.n_panels, at.row_begin, at.n_rows,
               at.query_begin, at.n_queries, at.head_dim, at.group, at.scale, at.factor, at.words);
  queue.launch(at.kernel("attention_d_keys"), at.blocks(at.heads / at.group), panels, by_rows, d_o_panels,
               d_o_rows, spans.first, spans.last, spans.end, lse2, delta, keep, d_qkv, at.n_panels,
               at.row_begin, at.n_rows, at.query_begin, at.n_queries, at.head_dim, at.group,
               int{at.op.options.causal}, at.scale, at.factor, at.words);
}

}  // namespace tessera
