// attention on the CPU by gemm, backward: probabilities are computed again from the log-sum-exp of each row.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>

#include "codelets/attention/gemm_products.hpp"

namespace tessera {
namespace {

// The tiles of one row cut of queries.
struct QueryTiles {
  TileView qkv, o, lse, d_o;
  std::vector<RowBlock> blocks;
};

struct Backward {
  const AttentionBackward& op;
  HeadLayout layout;
  std::span<const TileView> qkv;
  TileView own, d_qkv;
  Draws draws;
  float *scores, *d_p, *d_q, *d_k, *d_v, *lse, *delta;

  // lse and delta of one head of a block
  void load_rows(const QueryTiles& queries, const RowBlock& block, int64_t head) const {
    row_dots(block.rows, layout.head_dim, queries.o.dtype, at(queries.o, block.row, head * layout.head_dim),
             at(queries.d_o, block.row, head * layout.head_dim), queries.o.cols, delta);
    for (int64_t r = 0; r < block.rows; ++r)
      lse[r] = *static_cast<const float*>(at(queries.lse, block.row + r, head));
  }

  // Adds to d_k and d_v of the own tile's keys; d_q of the block's rows where they are the own tile's.
  void run(const QueryTiles& queries, const RowBlock& block, int64_t kv, int64_t head) const {
    const int64_t width = layout.head_dim, unit = kv * layout.qkv_unit();
    const int64_t q_col = unit + head % layout.group() * width;
    const bool own_rows = queries.qkv.data == own.data;
    const Strided q = in_tile(queries.qkv, block.row, q_col),
                  d_o = in_tile(queries.d_o, block.row, head * width);
    load_rows(queries, block, head);
    ScoreBlock s{.scores = scores,
                 .rows = block.rows,
                 .first = block.first.data(),
                 .last = block.last.data(),
                 .scale = 1 / std::sqrt(static_cast<float>(width)),
                 .dtype = own.dtype,
                 .dropout = op.options.dropout,
                 .draws = draws,
                 .element = op.first_element(block.row, own.col0 / layout.qkv_unit() * layout.group() + head),
                 .element_step = op.first_element(1, 0)};
    for (int64_t done = 0; done < block.keys; done += s.keys) {
      s.key0 = block.key + done;
      s.keys = std::min(block.keys - done, max_block_keys);
      s.ld = score_ld(s.keys);
      each_part(qkv, s.key0, s.keys, [&](const TileView& tile, int64_t key, int64_t keys) {
        times_transposed(s.rows, keys, width, q, in_tile(tile, key, unit + layout.key_at()),
                         scores + (key - s.key0), s.ld);
        times_transposed(s.rows, keys, width, d_o, in_tile(tile, key, unit + layout.value_at()),
                         d_p + (key - s.key0), s.ld);
      });
      softmax_gradient(s, d_p, lse, delta);
      each_part(qkv, s.key0, s.keys, [&](const TileView& tile, int64_t key, int64_t keys) {
        const Strided p = probabilities(s, scores, key - s.key0), d_s = probabilities(s, d_p, key - s.key0);
        if (tile.data == own.data) {
          const int64_t offset = (key - own.row0) * width;
          add_transposed_times(keys, width, s.rows, p, d_o, d_v + offset, width);
          add_transposed_times(keys, width, s.rows, d_s, q, d_k + offset, width);
        }
        if (own_rows)
          times(s.rows, width, keys, d_s, in_tile(tile, key, unit + layout.key_at()), d_q, width,
                done > 0 || key > s.key0);
      });
    }
    if (own_rows)
      store_rows(block.live_end - block.live_begin, width, d_q + (block.live_begin - block.row) * width,
                 at_mutable(d_qkv, block.live_begin, q_col), d_qkv.dtype, d_qkv.cols);
  }

  void store_keys(int64_t kv) const {
    const int64_t width = layout.head_dim, unit = kv * layout.qkv_unit();
    store_rows(own.rows, width, d_k, at_mutable(d_qkv, own.row0, unit + layout.key_at()), d_qkv.dtype,
               d_qkv.cols);
    store_rows(own.rows, width, d_v, at_mutable(d_qkv, own.row0, unit + layout.value_at()), d_qkv.dtype,
               d_qkv.cols);
  }
};

// Queries of the own tile meet all their keys; those of other tiles only the own tile's.
std::vector<QueryTiles> query_tiles(const TileArgs& args, const AttentionBackward& op,
                                    const AttentionWindow& window) {
  const auto qkv = args.tiles.first(static_cast<size_t>(window.count));
  const auto starts = args.tiles.subspan(qkv.size(), static_cast<size_t>(window.count - window.q_begin));
  const auto n = static_cast<size_t>(window.q_end - window.q_begin);
  const KeyRanges ranges = key_ranges(starts, window.q_end - window.q_begin, op.options);
  const TileView &own = qkv[static_cast<size_t>(window.own)], &last = qkv.back();
  const auto given = args.tiles.subspan(qkv.size() + starts.size());
  std::vector<QueryTiles> queries;
  for (size_t t = 0; t < n; ++t) {
    const TileView& rows = qkv[static_cast<size_t>(window.q_begin) + t];
    queries.push_back({rows, given[t], given[n + t], given[2 * n + t], {}});
    queries.back().blocks = rows.data == own.data
                                ? row_blocks(rows, ranges, qkv, qkv.front().row0, last.row0 + last.rows)
                                : row_blocks(rows, ranges, qkv, own.row0, own.row0 + own.rows);
    if (rows.data != own.data) continue;
    for (int64_t row = own.row0; row < own.row0 + own.rows; ++row)
      if (ranges.first_of(row) < 0) zero_row(args[args.count() - 1], row);
  }
  return queries;
}

}  // namespace

void attention_backward_by_gemm(const TileArgs& args) {
  const auto& op = args.attributes<AttentionBackward>();
  const HeadLayout layout = op.layout();
  const AttentionWindow window = AttentionWindow::of(args.params);
  const std::vector<QueryTiles> queries = query_tiles(args, op, window);
  const TileView& own = args[static_cast<size_t>(window.own)];
  const int64_t n_keys = own.rows * layout.head_dim;

  const Backward backward{.op = op,
                          .layout = layout,
                          .qkv = args.tiles.first(static_cast<size_t>(window.count)),
                          .own = own,
                          .d_qkv = args[args.count() - 1],
                          .draws = op.draws(args[args.count() - 2]),
                          .scores = score_scratch(),
                          .d_p = score_scratch(),
                          .d_q = scratch<float>(max_block_rows * layout.head_dim),
                          .d_k = scratch<float>(n_keys),
                          .d_v = scratch<float>(n_keys),
                          .lse = scratch<float>(max_block_rows),
                          .delta = scratch<float>(max_block_rows)};
  for (int64_t kv = 0; kv < own.cols / layout.qkv_unit(); ++kv) {
    std::memset(backward.d_k, 0, static_cast<size_t>(n_keys) * sizeof(float));
    std::memset(backward.d_v, 0, static_cast<size_t>(n_keys) * sizeof(float));
    for (const QueryTiles& tiles : queries)
      for (const RowBlock& block : tiles.blocks)
        for (int64_t g = 0; g < layout.group(); ++g) backward.run(tiles, block, kv, kv * layout.group() + g);
    backward.store_keys(kv);
  }
}

}  // namespace tessera
