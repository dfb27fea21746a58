// The products of attention on a block of strips; columns of scores count from the first key of a chunk.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/packing_simd.hpp"
#include "codelets/attention/softmax_rows.hpp"
#include "codelets/product_simd.hpp"

#if defined(TESSERA_CODELETS_STRIP_PRODUCTS) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_STRIP_PRODUCTS
#undef TESSERA_CODELETS_STRIP_PRODUCTS
#else
#define TESSERA_CODELETS_STRIP_PRODUCTS
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

static_assert(strip_rows == block_strip_rows && panel_keys % max_lanes == 0);
inline constexpr size_t n_strips = strip_block_rows / strip_rows;

// The part of a block's keys that is worked on at once.
struct Chunk {
  int64_t begin, end, ld;  // of the packed keys; and of the scores
  std::array<KeySpan, n_strips> keys,
      vectors;  // of each strip, from `begin`: what it sees; that in whole vectors

  Chunk(const StripBlock& block, int64_t from)
      : begin(from / panel_keys * panel_keys),
        end(std::min<int64_t>(begin + max_block_keys, block.keys.end)) {
    ld = padded(end - begin) + 16;
    for (size_t s = 0; s < n_strips; ++s) {
      const int64_t first = std::max<int64_t>(block.strips[s].begin, begin) - begin;
      const int64_t last = std::min<int64_t>(block.strips[s].end, end) - begin;
      keys[s] = first < last ? KeySpan{static_cast<int32_t>(first), static_cast<int32_t>(last)} : KeySpan{};
      vectors[s] = {keys[s].begin / granule * granule, (keys[s].end + granule - 1) / granule * granule};
    }
  }
  static constexpr int32_t granule = 16;  // at least a vector, and a strip's worth of keys
};
inline constexpr int64_t score_room = strip_block_rows * (max_block_keys + 32);

// scores[r, key] = Σ_d left[r, d] right[key, d], for the keys that the strips see; right: panels
HWY_INLINE void score_product(const Chunk& chunk, const float* left, const float* panels, int64_t width,
                              float* scores) {
  const int64_t ld = padded(width);
  for (int64_t begin = 0; begin < chunk.end - chunk.begin; begin += panel_keys) {
    const float* panel = panels + (chunk.begin + begin) * width;
    for (size_t s = 0; s < n_strips; ++s) {
      const int64_t from = std::max<int64_t>(chunk.vectors[s].begin, begin);
      const int64_t to = std::min<int64_t>(chunk.vectors[s].end, begin + panel_keys),
                    row = static_cast<int64_t>(s) * strip_rows;
      if (from < to)
        strip_product(to - from, width, {left + row * ld, ld, 1}, {panel + (from - begin), panel_keys},
                      {scores + row * chunk.ld + from, chunk.ld, false});
    }
  }
}

// sums[r, :] += Σ_key p[r, key] right[key, :]; right: rows
HWY_INLINE void row_product(const Chunk& chunk, const float* p, const float* right, int64_t width,
                            float* sums) {
  const int64_t ld = padded(width);
  for (size_t s = 0; s < n_strips; ++s) {
    const auto [from, to] = chunk.keys[s];
    const int64_t row = static_cast<int64_t>(s) * strip_rows;
    if (from < to)
      strip_product(ld, to - from, {p + row * chunk.ld + from, chunk.ld, 1},
                    {right + (chunk.begin + from) * ld, ld}, {sums + row * ld, ld, true});
  }
}

// sums[key - key_begin, :] += Σ_r p[r, key] right[r, :] for the packed keys of [key_begin, key_end); right:
// rows
HWY_INLINE void key_product(const Chunk& chunk, const float* p, const float* right, int64_t width,
                            int64_t key_begin, int64_t key_end, float* sums) {
  const int64_t ld = padded(width);
  const int64_t begin = std::max(key_begin - chunk.begin, int64_t{0}),
                end = std::min(key_end, chunk.end) - chunk.begin;
  for (int64_t key = begin; key < end; key += strip_rows)
    for (size_t s = 0; s < n_strips;) {
      const auto sees = [&](size_t which) {
        return chunk.keys[which].begin < key + strip_rows && chunk.keys[which].end > key;
      };
      size_t next = s;
      while (next < n_strips && sees(next)) ++next;
      const int64_t row = static_cast<int64_t>(s) * strip_rows,
                    n_rows = static_cast<int64_t>(next - s) * strip_rows;
      if (n_rows > 0)
        strip_product(ld, n_rows, {p + row * chunk.ld + key, 1, chunk.ld}, {right + row * ld, ld},
                      {sums + (chunk.begin + key - key_begin) * ld, ld, true});
      s = next + 1;
    }
}

// A block of queries (or their gradients) as rows; those beyond it are 0.
template <class T>
HWY_INLINE void pack_block(const TileView& tile, const StripBlock& block, int64_t col, int64_t width,
                           float* dst) {
  pack_rows<T>(tile, block.row, block.rows, col, width, dst);
  std::fill(dst + block.rows * padded(width), dst + strip_block_rows * padded(width), 0.0f);
}

HWY_INLINE ScoreBlock score_block(const StripBlock& block, const Chunk& chunk, float* scores, int64_t width) {
  return {.scores = scores,
          .rows = (block.rows + strip_rows - 1) / strip_rows * strip_rows,
          .keys = chunk.end - chunk.begin,
          .ld = chunk.ld,
          .key0 = chunk.begin,
          .first = block.first.data(),
          .last = block.last.data(),
          .strips = chunk.vectors.data(),
          .scale = 1 / std::sqrt(static_cast<float>(width))};
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
