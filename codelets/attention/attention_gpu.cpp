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

// tiles: see AttentionWindow
void attention_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  const DeviceWindow at(args, queue, true);
  const TileView& d_qkv = args[args.count() - 1];
  const DeviceWindow::Spans spans = at.spans();
  const void* keep = at.keep_bits(spans, args[args.count() - 2]);
  const int64_t slots = at.own.cols / at.layout.head_dim;
  void *panels = queue.scratch<float>(slots * at.slot_floats()),
       *by_rows = queue.scratch<float>(slots * at.slot_floats()),
       *d_o_panels = queue.scratch<float>(at.heads * at.slot_floats()),
       *d_o_rows = queue.scratch<float>(at.heads * at.slot_floats()),
       *delta = queue.scratch<float>(int64_t{at.heads} * at.n_queries),
       *lse2 = queue.scratch<float>(int64_t{at.heads} * at.n_queries);
  for (const TileView& tile : at.qkv)
    at.pack(tile, {.unit_group = at.group,
                   .panel_kinds = query_slots + key_slots + value_slots,
                   .row_kinds = query_slots + key_slots,
                   .panels = panels,
                   .by_rows = by_rows});
  if (at.query_begin % panel_rows != 0)  // what lies before the first query counts for nothing, but is read
    for (void* d_o : {d_o_panels, d_o_rows})
      queue.fill(d_o, at.heads * at.slot_floats() * int64_t{sizeof(float)}, 0);
  const auto of_queries = args.tiles.subspan(at.qkv.size() + at.starts.size());
  const auto n = static_cast<size_t>(at.window.q_end - at.window.q_begin);
  for (size_t t = 0; t < n; ++t) {
    const TileView &o = of_queries[t], &lse = of_queries[n + t], &d_o = of_queries[2 * n + t];
    queue.launch(at.kernel("row_sums"), for_each(lse.size()), o, lse, d_o, static_cast<int>(lse.rows),
                 at.heads, at.head_dim, at.row_of(o) - at.query_begin, at.n_queries, delta, lse2);
    at.pack(d_o, {.unit_group = at.heads,
                  .panel_kinds = query_slots,
                  .row_kinds = query_slots,
                  .panels = d_o_panels,
                  .by_rows = d_o_rows});
  }
  queue.launch(at.kernel("attention_d_queries"), at.blocks(at.heads), panels, by_rows, d_o_panels,
               spans.first, spans.last, lse2, delta, keep, d_qkv, at.n_panels, at.row_begin, at.n_rows,
               at.query_begin, at.n_queries, at.head_dim, at.group, at.scale, at.factor, at.words);
  queue.launch(at.kernel("attention_d_keys"), at.blocks(at.heads / at.group), panels, by_rows, d_o_panels,
               d_o_rows, spans.first, spans.last, spans.end, lse2, delta, keep, d_qkv, at.n_panels,
               at.row_begin, at.n_rows, at.query_begin, at.n_queries, at.head_dim, at.group,
               int{at.op.options.causal}, at.scale, at.factor, at.words);
}

}  // namespace tessera
