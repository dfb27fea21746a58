// attention on the CPU by strips, forward.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/attention/strip_forward_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/attention/strip_products.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

struct StripForward {
  const Attention& op;
  HeadLayout layout;
  TileView own, o, lse;
  Draws draws;
  float *q, *keys, *values, *scores, *acc, *largest, *sum;  // keys: panels; values: rows

  // Query head `head` of the cut, for one block of rows.
  template <class T>
  void run(const StripBlock& block, int64_t head) const {
    const int64_t width = layout.head_dim, ld = padded(width);
    const int64_t col = head / layout.group() * layout.qkv_unit() + head % layout.group() * width;
    pack_block<T>(own, block, col, width, q);
    std::fill(acc, acc + strip_block_rows * ld, 0.0f);
    OnlineSoftmax state{largest, sum, acc, width, ld};
    ScoreBlock s;
    for (int64_t from = block.keys.begin; from < block.keys.end; from = s.key0 + s.keys) {
      const Chunk chunk(block, from);
      s = score_block(block, chunk, scores, width);
      s.dropout = op.options.dropout;
      s.draws = draws;
      s.element = op.first_element(block.row, own.col0 / layout.qkv_unit() * layout.group() + head);
      s.element_step = op.first_element(1, 0);
      score_product(chunk, q, keys, width, scores);
      online(s, state);
      row_product(chunk, scores, values, width, acc);
      state.empty = false;
    }
    finish(s, state, 0, block.rows,
           {.dst = at_mutable(o, block.row, head * width),
            .dtype = o.dtype,
            .ld = o.cols,
            .lse = lse.as<float>() + (block.row - lse.row0) * lse.cols + head,
            .lse_ld = lse.cols});
  }
};

void attention_strips(const TileArgs& args) {
  const auto& op = args.attributes<Attention>();
  const HeadLayout layout = op.layout();
  const AttentionWindow window = AttentionWindow::of(args.params);
  const auto qkv = args.tiles.first(static_cast<size_t>(window.count));
  const auto starts = args.tiles.subspan(qkv.size(), static_cast<size_t>(window.count - window.q_begin));
  const TileView &own = qkv[static_cast<size_t>(window.own)], &o = args[args.count() - 2],
                 &lse = args[args.count() - 1];

  const KeyRanges ranges = key_ranges(starts, 1, op.options);
  const PackedKeys packed = packed_keys(own, ranges);
  const auto blocks = strip_blocks(own, ranges, packed, packed.begin, packed.begin + packed.rows());
  for (int64_t row = own.row0; row < own.row0 + own.rows; ++row)
    if (ranges.first_of(row) < 0) zero_row(o, row), zero_row(lse, row);

  const int64_t ld = padded(layout.head_dim);
  const StripForward forward{.op = op,
                             .layout = layout,
                             .own = own,
                             .o = o,
                             .lse = lse,
                             .draws = op.draws(args[args.count() - 3]),
                             .q = scratch<float>(strip_block_rows * ld),
                             .keys = scratch<float>(packed.rows() * layout.head_dim),
                             .values = scratch<float>(packed.rows() * ld),
                             .scores = scratch<float>(score_room),
                             .acc = scratch<float>(strip_block_rows * ld),
                             .largest = scratch<float>(strip_block_rows),
                             .sum = scratch<float>(strip_block_rows)};
  with_float(own.dtype, [&]<class T>(T) {
    for (int64_t kv = 0; kv < own.cols / layout.qkv_unit(); ++kv) {
      const ScratchScope scope;
      const int64_t unit = kv * layout.qkv_unit();
      pack_keys<T>(qkv, packed, unit + layout.key_at(), layout.head_dim, {.panels = forward.keys});
      pack_keys<T>(qkv, packed, unit + layout.value_at(), layout.head_dim, {.rows = forward.values});
      for (const StripBlock& block : blocks)
        for (int64_t g = 0; g < layout.group(); ++g) forward.run<T>(block, kv * layout.group() + g);
    }
  });
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(attention_strips);
void attention_by_strips(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(attention_strips)(args); }
}  // namespace tessera
#endif
