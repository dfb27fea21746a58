// The right factor in the layout that oneDNN multiplies from directly: panels of 64 columns, one after the
// other, in which every row of a panel is 64 words of 32 bits: an f32 element each, or two bf16 elements of
// successive rows (BA16a64b and BA16a64b2a, in its terms). Zeros fill up what is missing.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/pack_right.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cstring>

#include "codelets/matmul/gemm.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

constexpr int64_t panel = packed_columns, block = packed_rows;

using Words = hn::CappedTag<uint32_t, block>;
using Halves = hn::Rebind<uint16_t, Words>;

// to[row, column] = at[column, row] for one block of words; what comes next along the rows of `at` is on its
// way into the second cache, as the hardware does not fetch ahead so many rows at a time.
void transpose_block(const uint32_t* at, int64_t ld, uint32_t* to) {
  const Words d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  uint32_t fours[4 * hn::MaxLanes(Words())];
  for (int64_t i = 0; i < panel; i += 4) {
    const uint32_t* row = at + i * ld;
    for (int64_t j = 0; j < 4; ++j) __builtin_prefetch(row + j * ld + 2 * block, 0, 2);
    for (int64_t w = 0; w < block; w += n) {
      hn::StoreInterleaved4(hn::LoadU(d, row + w), hn::LoadU(d, row + ld + w), hn::LoadU(d, row + 2 * ld + w),
                            hn::LoadU(d, row + 3 * ld + w), d, fours);
      for (int64_t s = 0; s < n; ++s) std::memcpy(to + (w + s) * panel + i, fours + 4 * s, 16);
    }
  }
}

// to[row, column] = at[row, column] for one block, of words or of pairs of rows.
void copy_block(const float* at, int64_t ld, uint32_t* to) {
  for (int64_t r = 0; r < block; ++r) std::memcpy(to + r * panel, at + r * ld, panel * sizeof(float));
}

void copy_block(const bf16* at, int64_t ld, uint32_t* to) {
  const Words d;
  const Halves half;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  const auto* rows = reinterpret_cast<const uint16_t*>(at);
  for (int64_t r = 0; r < block; ++r, rows += 2 * ld, to += panel)
    for (int64_t i = 0; i < panel; i += n) {
      const auto even = hn::PromoteTo(d, hn::LoadU(half, rows + i));
      const auto odd = hn::PromoteTo(d, hn::LoadU(half, rows + ld + i));
      hn::StoreU(hn::Or(even, hn::ShiftLeft<16>(odd)), d, to + i);
    }
}

// Any block, also one that reaches over the ends; element (row, column) is at[row · step + column · ld].
template <class T>
void gather_block(const T* at, int64_t step, int64_t ld, int64_t rows, int64_t columns, uint32_t* to) {
  constexpr int64_t elements = sizeof(uint32_t) / sizeof(T);  // of a word
  std::memset(to, 0, block * panel * sizeof(uint32_t));
  T* elements_of = reinterpret_cast<T*>(to);
  for (int64_t r = 0; r < std::min(rows, block * elements); ++r)
    for (int64_t c = 0; c < std::min(columns, panel); ++c)
      elements_of[(r / elements * panel + c) * elements + r % elements] = at[r * step + c * ld];
}

template <class T>
void pack_all(const Gemm& g, const T* from, uint32_t* to) {
  constexpr int64_t rows = block * static_cast<int64_t>(sizeof(uint32_t) / sizeof(T));  // of a block
  const int64_t blocks = (g.k + rows - 1) / rows;
  const bool whole_words = g.ldb % (rows / block) == 0;
  const int64_t step = g.transpose_b ? 1 : g.ldb, ld = g.transpose_b ? g.ldb : 1;
  for (int64_t column = 0; column < g.n; column += panel)
    for (int64_t b = 0; b < blocks; ++b, to += block * panel) {
      const T* at = from + b * rows * step + column * ld;
      const bool whole = column + panel <= g.n && (b + 1) * rows <= g.k;
      if (whole && !g.transpose_b)
        copy_block(at, g.ldb, to);
      else if (whole && whole_words)
        transpose_block(reinterpret_cast<const uint32_t*>(at), g.ldb * block / rows, to);
      else
        gather_block(at, step, ld, g.k - b * rows, g.n - column, to);
    }
}

void pack_right_factor(const Gemm& g, const void* from, void* to) {
  with_float(g.b, [&]<class T>(T) { pack_all(g, static_cast<const T*>(from), static_cast<uint32_t*>(to)); });
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(pack_right_factor);
void pack_right(const Gemm& shape, const void* from, void* to) {
  HWY_DYNAMIC_DISPATCH(pack_right_factor)(shape, from, to);
}
}  // namespace tessera
#endif
