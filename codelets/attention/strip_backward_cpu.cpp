// attention on the CPU by strips, backward: probabilities are computed again from the log-sum-exp of each
// row. SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/attention/strip_backward_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/attention/strip_products.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

// The tiles of one row cut of queries, and its blocks that see keys of the own tile.
struct QueryTiles {
  TileView qkv, o, lse, d_o;
  std::vector<StripBlock> blocks;
};

struct StripBackward {
  const AttentionBackward& op;
  HeadLayout layout;
  TileView own, d_qkv;
  PackedKeys packed;
  Draws draws;
  float *q, *d_o, *scores, *d_p, *d_q, *d_k, *d_v, *lse, *delta;
  float *key_rows, *key_panels, *value_panels;

  // One query head of a block: its d_q where the rows are the own tile's, its part of d_k and d_v of the own
  // keys.
  template <class T>
  void run(const QueryTiles& queries, const StripBlock& block, int64_t head) const {
    const int64_t width = layout.head_dim, ld = padded(width);
    const int64_t col = head / layout.group() * layout.qkv_unit() + head % layout.group() * width;
    const bool own_rows = queries.qkv.data == own.data;
    pack_block<T>(queries.qkv, block, col, width, q);
    pack_block<T>(queries.d_o, block, head * width, width, d_o);
    for (int64_t r = 0; r < block.rows; ++r) {
      lse[r] = *static_cast<const float*>(at(queries.lse, block.row + r, head));
      delta[r] = sum_of(
          width, [](auto a, auto b) { return hn::Mul(a, b); }, d_o + r * ld,
          static_cast<const T*>(at(queries.o, block.row + r, head * width)));
    }
    if (own_rows) std::fill(d_q, d_q + strip_block_rows * ld, 0.0f);
    const int64_t own_begin = own.row0 - packed.begin;
    for (int64_t from = block.keys.begin, end; from < block.keys.end; from = end) {
      const Chunk chunk(block, from);
      end = chunk.end;
      ScoreBlock s = score_block(block, chunk, scores, width);
      s.dropout = op.options.dropout;
      s.draws = draws;
      s.element = op.first_element(block.row, own.col0 / layout.qkv_unit() * layout.group() + head);
      s.element_step = op.first_element(1, 0);
      score_product(chunk, q, key_panels, width, scores);
      score_product(chunk, d_o, value_panels, width, d_p);
      gradient(s, d_p, lse, delta);
      key_product(chunk, scores, d_o, width, own_begin, own_begin + own.rows, d_v);
      key_product(chunk, d_p, q, width, own_begin, own_begin + own.rows, d_k);
      if (own_rows) row_product(chunk, d_p, key_rows, width, d_q);
    }
    if (own_rows) unpack<T>(d_q, block.row, block.rows, col);
  }

  template <class T>
  void unpack(const float* rows, int64_t row, int64_t n, int64_t col) const {
    for (int64_t r = 0; r < n; ++r)
      map(
          layout.head_dim, static_cast<T*>(at_mutable(d_qkv, row + r, col)), [](auto x) { return x; },
          rows + r * padded(layout.head_dim));
  }
};

// Queries of the own tile meet all their keys; those of other tiles only the own tile's.
std::vector<QueryTiles> query_tiles(const TileArgs& args, const KeyRanges& ranges, const PackedKeys& packed) {
  const AttentionWindow window = AttentionWindow::of(args.params);
  const auto qkv = args.tiles.first(static_cast<size_t>(window.count));
  const auto given = args.tiles.subspan(static_cast<size_t>(2 * window.count - window.q_begin));
  const auto n = static_cast<size_t>(window.q_end - window.q_begin);
  const TileView& own = qkv[static_cast<size_t>(window.own)];
  std::vector<QueryTiles> queries;
  for (size_t t = 0; t < n; ++t) {
    const TileView& rows = qkv[static_cast<size_t>(window.q_begin) + t];
    const bool is_own = rows.data == own.data;
    queries.push_back({rows, given[t], given[n + t], given[2 * n + t],
                       strip_blocks(rows, ranges, packed, is_own ? packed.begin : own.row0,
                                    is_own ? packed.begin + packed.rows() : own.row0 + own.rows)});
  }
  return queries;
}

void attention_backward_strips(const TileArgs& args) {
  const auto& op = args.attributes<AttentionBackward>();
  const HeadLayout layout = op.layout();
  const AttentionWindow window = AttentionWindow::of(args.params);
  const auto qkv = args.tiles.first(static_cast<size_t>(window.count));
  const auto starts = args.tiles.subspan(qkv.size(), static_cast<size_t>(window.count - window.q_begin));
  const TileView &own = qkv[static_cast<size_t>(window.own)], &d_qkv = args[args.count() - 1];

  const KeyRanges ranges = key_ranges(starts, window.q_end - window.q_begin, op.options);
  const PackedKeys packed = packed_keys(own, ranges);
  const auto queries = query_tiles(args, ranges, packed);
  for (int64_t row = own.row0; row < own.row0 + own.rows; ++row)
    if (ranges.first_of(row) < 0) zero_row(d_qkv, row);

  const int64_t ld = padded(layout.head_dim), block = strip_block_rows * ld;
  const int64_t own_room = (own.rows + strip_rows - 1) / strip_rows * strip_rows * ld;
  const StripBackward backward{.op = op,
                               .layout = layout,
                               .own = own,
                               .d_qkv = d_qkv,
                               .packed = packed,
                               .draws = op.draws(args[args.count() - 2]),
                               .q = scratch<float>(block),
                               .d_o = scratch<float>(block),
                               .scores = scratch<float>(score_room),
                               .d_p = scratch<float>(score_room),
                               .d_q = scratch<float>(block),
                               .d_k = scratch<float>(own_room),
                               .d_v = scratch<float>(own_room),
                               .lse = scratch<float>(strip_block_rows),
                               .delta = scratch<float>(strip_block_rows),
                               .key_rows = scratch<float>(packed.rows() * ld),
                               .key_panels = scratch<float>(packed.rows() * layout.head_dim),
                               .value_panels = scratch<float>(packed.rows() * layout.head_dim)};
  with_float(own.dtype, [&]<class T>(T) {
    for (int64_t kv = 0; kv < own.cols / layout.qkv_unit(); ++kv) {
      const ScratchScope scope;
      const int64_t key = kv * layout.qkv_unit() + layout.key_at(), value = key + layout.head_dim;
      pack_keys<T>(qkv, packed, key, layout.head_dim,
                   {.rows = backward.key_rows, .panels = backward.key_panels});
      pack_keys<T>(qkv, packed, value, layout.head_dim, {.panels = backward.value_panels});
      std::fill(backward.d_k, backward.d_k + own_room, 0.0f);
      std::fill(backward.d_v, backward.d_v + own_room, 0.0f);
      for (const QueryTiles& tiles : queries)
        for (const StripBlock& rows : tiles.blocks)
          for (int64_t g = 0; g < layout.group(); ++g) backward.run<T>(tiles, rows, kv * layout.group() + g);
      backward.unpack<T>(backward.d_k, own.row0, own.rows, key);
      backward.unpack<T>(backward.d_v, own.row0, own.rows, value);
    }
  });
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(attention_backward_strips);
void attention_backward_by_strips(const TileArgs& args) {
  HWY_DYNAMIC_DISPATCH(attention_backward_strips)(args);
}
}  // namespace tessera
#endif
