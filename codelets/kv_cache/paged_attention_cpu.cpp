// paged_attention on the CPU: single rows straight from the cache, many rows of a sequence as matrix
// products.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>

#include "codelets/attention/gemm_products.hpp"
#include "codelets/kv_cache/kv_cache_op.hpp"
#include "codelets/kv_cache/paged_rows.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

constexpr int64_t prefill_rows = 8;  // from this many rows of a sequence on, gathering its keys pays

// The cache as a sequence sees it.
struct Pages {
  std::span<const TileView> k, v;
  TileView table;
  int64_t block_size;

  // Calls f(tile, row of the tile, first key, count) for runs of positions that lie together.
  template <class F>
  void each_run(int64_t sequence, int64_t key, int64_t keys, F f) const {
    if (sequence >= table.rows || key + keys > table.cols * block_size)
      throw error(
          "paged_attention: position {} of sequence {} is beyond the block table of {} × {} blocks of {}",
          key + keys - 1, sequence, table.rows, table.cols, block_size);
    const int64_t n_rows = k.back().row0 + k.back().rows;
    for (int64_t end = key + keys; key < end;) {
      const int64_t block = table.as<const int32_t>()[sequence * table.cols + key / block_size];
      int64_t row = block * block_size + key % block_size;
      if (row < 0 || row >= n_rows)
        throw error("paged_attention: block {} of sequence {} is number {}, but the cache has {} blocks",
                    key / block_size, sequence, block, n_rows / block_size);
      size_t tile = 0;
      while (row >= k[tile].row0 + k[tile].rows) ++tile;
      row -= k[tile].row0;
      const int64_t count = std::min({end - key, block_size - key % block_size, k[tile].rows - row});
      f(tile, row, key, count);
      key += count;
    }
  }
};

struct Paged {
  HeadLayout layout;
  Pages pages;
  TileView qkv, o;
  const int32_t *sequence, *positions;
  int64_t heads;  // query heads of the cut
  float *scores, *acc, *largest, *sum, *q_row;
  void *q, *keys, *values;  // gathered for products, in the type of qkv

  int64_t q_col(int64_t head) const {
    return head / layout.group() * layout.qkv_unit() + head % layout.group() * layout.head_dim;
  }
  ScoreBlock block(int64_t rows, const int32_t* first, const int32_t* last) const {
    return {.scores = scores,
            .rows = rows,
            .first = first,
            .last = last,
            .scale = 1 / std::sqrt(static_cast<float>(layout.head_dim))};
  }

  // All heads of one row, key after key in the cache's order; scores: [heads, keys].
  void decode(int64_t r) const {
    const int64_t width = layout.head_dim, n_keys = positions[r] + 1;
    for (int64_t h = 0; h < heads; ++h)
      copy_rows(1, width, qkv, r, q_col(h), q_row + h * width, DType::f32, width);
    std::memset(acc, 0, static_cast<size_t>(heads * width) * sizeof(float));
    const std::vector<int32_t> first(static_cast<size_t>(heads), 0),
        last(first.size(), static_cast<int32_t>(n_keys));
    ScoreBlock s = block(heads, first.data(), last.data());
    OnlineSoftmax state{largest, sum, acc, width, width};
    for (; s.key0 < n_keys; s.key0 += s.keys) {
      s.keys = std::min(n_keys - s.key0, decode_keys);
      s.ld = score_ld(s.keys);
      pages.each_run(sequence[r], s.key0, s.keys, [&](size_t tile, int64_t row, int64_t key, int64_t count) {
        score_run(layout, q_row, {pages.k[tile], row, count}, scores + (key - s.key0), s.ld);
      });
      online_softmax(s, state);
      pages.each_run(sequence[r], s.key0, s.keys, [&](size_t tile, int64_t row, int64_t key, int64_t count) {
        add_run(layout, scores + (key - s.key0), s.ld, {pages.v[tile], row, count}, acc);
      });
      state.empty = false;
    }
    finish_softmax(s, state, 0, heads, {.dst = at_mutable(o, o.row0 + r, 0), .dtype = o.dtype, .ld = width});
  }
  static constexpr int64_t decode_keys =
      128;  // a slice of the cache that stays in L2 between keys and values

  // Rows [r, r + rows) of one sequence, head by head.
  void prefill(int64_t r, int64_t rows) const {
    const int64_t n_keys = *std::max_element(positions + r, positions + r + rows) + 1;
    std::array<int32_t, max_block_rows> first = {}, last = {};
    for (int64_t i = 0; i < rows; ++i) last[static_cast<size_t>(i)] = positions[r + i] + 1;
    for (int64_t kv = 0; kv < heads / layout.group(); ++kv) {
      for (int64_t key = 0; key < n_keys; key += max_block_keys) {
        const int64_t n = std::min(n_keys - key, max_block_keys);
        gather(r, kv, key, n);
        for (int64_t g = 0; g < layout.group(); ++g) {
          ScoreBlock s = block((rows + 15) / 16 * 16, first.data(), last.data());
          s.key0 = key;
          s.keys = std::min((n + 31) / 32 * 32, max_block_keys);
          multiply(s, r, rows, kv * layout.group() + g, g, key + n == n_keys);
        }
      }
    }
  }

  // Keys and values of one head side by side; what fills up the last rows is masked later.
  void gather(int64_t r, int64_t kv, int64_t key0, int64_t n) const {
    const int64_t width = layout.head_dim, bytes = width * static_cast<int64_t>(size_of(type()));
    pages.each_run(sequence[r], key0, n, [&](size_t tile, int64_t row, int64_t key, int64_t count) {
      copy_rows(count, width, pages.k[tile], row, kv * width,
                static_cast<std::byte*>(keys) + (key - key0) * bytes, type(), width);
      copy_rows(count, width, pages.v[tile], row, kv * width,
                static_cast<std::byte*>(values) + (key - key0) * bytes, type(), width);
    });
    const auto rest = static_cast<size_t>(std::min((n + 31) / 32 * 32, max_block_keys) - n);
    std::memset(static_cast<std::byte*>(keys) + n * bytes, 0, rest * static_cast<size_t>(bytes));
    std::memset(static_cast<std::byte*>(values) + n * bytes, 0, rest * static_cast<size_t>(bytes));
  }

  // One head of a block of rows against the gathered keys; sums of the g-th head of the group are kept apart.
  void multiply(ScoreBlock s, int64_t r, int64_t rows, int64_t head, int64_t g, bool last) const {
    const int64_t width = layout.head_dim;
    s.ld = score_ld(s.keys);
    s.dtype = type();
    std::memset(q, 0, static_cast<size_t>(s.rows * width) * size_of(type()));
    copy_rows(rows, width, qkv, r, q_col(head), q, type(), width);
    const OnlineSoftmax state{largest + g * max_block_rows,
                              sum + g * max_block_rows,
                              acc + g * max_block_rows * width,
                              width,
                              width,
                              s.key0 == 0};
    times_transposed(s.rows, s.keys, width, {q, width, type()}, {keys, width, type()}, scores, s.ld);
    online_softmax(s, state);
    times(s.rows, width, s.keys, probabilities(s, scores, 0), {values, width, type()}, state.acc, width,
          !state.empty);
    if (last)
      finish_softmax(s, state, 0, rows,
                     {.dst = at_mutable(o, o.row0 + r, head * width), .dtype = o.dtype, .ld = o.cols});
  }

  DType type() const { return qkv.dtype; }
};

}  // namespace

void paged_attention_cpu(const TileArgs& args) {
  const auto& op = args.attributes<PagedAttention>();
  const HeadLayout layout = op.layout();
  const auto n = static_cast<size_t>(args.params[0]);
  const TileView& o = args[args.count() - 1];
  const int64_t heads = o.cols / layout.head_dim, width = layout.head_dim;
  const int64_t sums = std::max(max_block_rows * layout.group(), heads);
  const Paged paged{
      .layout = layout,
      .pages = {args.tiles.subspan(4, n), args.tiles.subspan(4 + n, n), args[1], op.options.block_size},
      .qkv = args[0],
      .o = o,
      .sequence = args[2].as<const int32_t>(),
      .positions = args[3].as<const int32_t>(),
      .heads = heads,
      .scores = scratch<float>(std::max(max_block_rows, heads) * (max_block_keys + score_padding)),
      .acc = scratch<float>(sums * width),
      .largest = scratch<float>(sums),
      .sum = scratch<float>(sums),
      .q_row = scratch<float>(heads * width),
      .q = scratch<float>(max_block_rows * width),
      .keys = scratch<float>(max_block_keys * width),
      .values = scratch<float>(max_block_keys * width)};
  for (int64_t r = 0; r < o.rows;) {
    int64_t end = r + 1;
    while (end < o.rows && end - r < max_block_rows && paged.sequence[end] == paged.sequence[r]) ++end;
    if (paged.sequence[r] < 0) {
      for (; r < end; ++r) zero_row(o, o.row0 + r);
    } else if (end - r >= prefill_rows) {
      paged.prefill(r, end - r);
    } else {
      for (int64_t row = r; row < end; ++row) paged.decode(row);
    }
    r = end;
  }
}

}  // namespace tessera
