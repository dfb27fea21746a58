// attention on the CPU by gemm, forward: for storage types that the CPU multiplies faster than f32.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "codelets/attention/gemm_products.hpp"

namespace tessera {
namespace {

struct Forward {
  const AttentionOp& op;
  HeadLayout layout;
  std::span<const TileView> qkv;
  TileView own, o, lse;
  Draws draws;
  float *scores, *acc, *largest, *sum;

  // Query head `head` (of the cut) of key/value head `kv` for one block of rows.
  void run(const RowBlock& block, int64_t kv, int64_t head) const {
    const int64_t width = layout.head_dim, unit = kv * layout.qkv_unit();
    const Strided q = in_tile(own, block.row, unit + head % layout.group() * width);
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
    OnlineSoftmax state{largest, sum, acc, width, width};
    for (int64_t done = 0; done < block.keys; done += s.keys) {
      s.key0 = block.key + done;
      s.keys = std::min(block.keys - done, max_block_keys);
      s.ld = score_ld(s.keys);
      each_part(qkv, s.key0, s.keys, [&](const TileView& tile, int64_t key, int64_t keys) {
        times_transposed(s.rows, keys, width, q, in_tile(tile, key, unit + layout.key_at()),
                         scores + (key - s.key0), s.ld);
      });
      online_softmax(s, state);
      each_part(qkv, s.key0, s.keys, [&](const TileView& tile, int64_t key, int64_t keys) {
        times(s.rows, width, keys, probabilities(s, scores, key - s.key0),
              in_tile(tile, key, unit + layout.value_at()), acc, width, !state.empty || key > s.key0);
      });
      state.empty = false;
    }
    finish_softmax(s, state, block.live_begin - block.row, block.live_end - block.row,
                   {.dst = at_mutable(o, block.live_begin, head * width),
                    .dtype = o.dtype,
                    .ld = o.cols,
                    .lse = lse.as<float>() + (block.live_begin - lse.row0) * lse.cols + head,
                    .lse_ld = lse.cols});
  }
};

}  // namespace

void attention_by_gemm(const TileArgs& args) {
  const auto& op = args.attributes<Attention>();
  const HeadLayout layout = op.layout();
  const AttentionWindow window = AttentionWindow::of(args.params);
  const auto qkv = args.tiles.first(static_cast<size_t>(window.count));
  const auto starts = args.tiles.subspan(qkv.size(), static_cast<size_t>(window.count - window.q_begin));
  const TileView &own = qkv[static_cast<size_t>(window.own)], &o = args[args.count() - 2],
                 &lse = args[args.count() - 1];

  const KeyRanges ranges = key_ranges(starts, 1, op.options);
  for (int64_t row = own.row0; row < own.row0 + own.rows; ++row)
    if (ranges.first_of(row) < 0) zero_row(o, row), zero_row(lse, row);
  const auto blocks = row_blocks(own, ranges, qkv, qkv.front().row0, qkv.back().row0 + qkv.back().rows);

  const Forward forward{.op = op,
                        .layout = layout,
                        .qkv = qkv,
                        .own = own,
                        .o = o,
                        .lse = lse,
                        .draws = op.draws(args[args.count() - 3]),
                        .scores = score_scratch(),
                        .acc = scratch<float>(max_block_rows * layout.head_dim),
                        .largest = scratch<float>(max_block_rows),
                        .sum = scratch<float>(max_block_rows)};
  for (int64_t kv = 0; kv < own.cols / layout.qkv_unit(); ++kv)
    for (const RowBlock& block : blocks)
      for (int64_t g = 0; g < layout.group(); ++g) forward.run(block, kv, kv * layout.group() + g);
}

}  // namespace tessera
