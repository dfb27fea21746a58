// The right factor in panels of columns, one after the other, in which every row of a panel is words of 32
// bits. For panel_product these are f32 elements, as many as its loop takes at once. oneDNN multiplies from
// 64 of them, or, where bf16_units() are there, of two bf16 elements of successive rows each (BA16a64b and
// BA16a64b2a, in its terms). Zeros fill up what is missing.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/pack_right.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cstring>

#include "codelets/matmul/gemm.hpp"
#include "codelets/matmul/panel_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

constexpr int64_t block = packed_rows;

using Words = hn::CappedTag<uint32_t, block>;
using Halves = hn::Rebind<uint16_t, Words>;
using Vec32 = hn::Vec<Words>;

// Words as they lie in memory, or of bf16 that becomes f32.
Vec32 words(const uint32_t* at) { return hn::LoadU(Words(), at); }
Vec32 words(const bf16* at) {
  return hn::ShiftLeft<16>(
      hn::PromoteTo(Words(), hn::LoadU(Halves(), reinterpret_cast<const uint16_t*>(at))));
}

// to[row, column] = at[column, row] for one block of words; what comes next along the rows of `at` is on its
// way into the second cache, as the hardware does not fetch ahead so many rows at a time.
template <int64_t panel, class T>
void transpose_block(const T* at, int64_t ld, uint32_t* to) {
  const Words d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  uint32_t fours[4 * hn::MaxLanes(Words())];
  for (int64_t i = 0; i < panel; i += 4) {
    const T* row = at + i * ld;
    for (int64_t j = 0; j < 4; ++j) __builtin_prefetch(row + j * ld + 2 * block, 0, 2);
    for (int64_t w = 0; w < block; w += n) {
      hn::StoreInterleaved4(words(row + w), words(row + ld + w), words(row + 2 * ld + w),
                            words(row + 3 * ld + w), d, fours);
      for (int64_t s = 0; s < n; ++s) std::memcpy(to + (w + s) * panel + i, fours + 4 * s, 16);
    }
  }
}

// to[row, column] = at[row, column] for one block.
template <int64_t panel>
void copy_block(const float* at, int64_t ld, uint32_t* to) {
  for (int64_t r = 0; r < block; ++r) std::memcpy(to + r * panel, at + r * ld, panel * sizeof(float));
}
template <int64_t panel>
void copy_block(const bf16* at, int64_t ld, uint32_t* to) {
  for (int64_t r = 0; r < block; ++r)
    for (int64_t i = 0; i < panel; i += static_cast<int64_t>(hn::Lanes(Words())))
      hn::StoreU(words(at + r * ld + i), Words(), to + r * panel + i);
}

// The same for pairs of rows.
template <int64_t panel>
void pair_block(const bf16* at, int64_t ld, uint32_t* to) {
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

// Any block, also one that reaches over the ends, as E: of a word there are `elements`; element (row, column)
// is at[row · step + column · ld].
template <class E, int64_t panel, class T>
void gather_block(const T* at, int64_t step, int64_t ld, int64_t rows, int64_t columns, uint32_t* to) {
  constexpr int64_t elements = sizeof(uint32_t) / sizeof(E);
  std::memset(to, 0, block * panel * sizeof(uint32_t));
  E* elements_of = reinterpret_cast<E*>(to);
  for (int64_t r = 0; r < std::min(rows, block * elements); ++r)
    for (int64_t c = 0; c < std::min(columns, panel); ++c)
      elements_of[(r / elements * panel + c) * elements + r % elements] =
          static_cast<E>(at[r * step + c * ld]);
}

// Panels of elements E of a factor of T.
template <class E, int64_t panel, class T>
void pack_all(const Gemm& g, const T* from, uint32_t* to) {
  constexpr bool pairs = sizeof(E) == 2;
  constexpr int64_t rows = pairs ? 2 * block : block;  // of a block
  const int64_t blocks = (g.k + rows - 1) / rows;
  const int64_t step = g.transpose_b ? 1 : g.ldb, ld = g.transpose_b ? g.ldb : 1;
  for (int64_t column = 0; column < g.n; column += panel)
    for (int64_t b = 0; b < blocks; ++b, to += block * panel) {
      const T* at = from + b * rows * step + column * ld;
      if (column + panel > g.n || (b + 1) * rows > g.k || (pairs && g.transpose_b && g.ldb % 2 != 0))
        gather_block<E, panel>(at, step, ld, g.k - b * rows, g.n - column, to);
      else if constexpr (pairs)
        g.transpose_b ? transpose_block<panel>(reinterpret_cast<const uint32_t*>(at), g.ldb / 2, to)
                      : pair_block<panel>(at, g.ldb, to);
      else if constexpr (std::is_same_v<T, float>)
        g.transpose_b ? transpose_block<panel>(reinterpret_cast<const uint32_t*>(at), g.ldb, to)
                      : copy_block<panel>(at, g.ldb, to);
      else
        g.transpose_b ? transpose_block<panel>(at, g.ldb, to) : copy_block<panel>(at, g.ldb, to);
    }
}

void pack_for_panels(const Gemm& g, const void* from, float* to) {
  with_float(g.b, [&]<class T>(T) {
    pack_all<float, panel_columns>(g, static_cast<const T*>(from), reinterpret_cast<uint32_t*>(to));
  });
}

int64_t panels_size(int64_t k, int64_t n) {
  return (k + block - 1) / block * block * ((n + panel_columns - 1) / panel_columns * panel_columns);
}

void pack_right_factor(const Gemm& g, const void* from, void* to) {
  auto* words = static_cast<uint32_t*>(to);
  if (!packs_for_library(g.b)) return pack_for_panels(g, from, static_cast<float*>(to));
  if (g.b == DType::bf16) return pack_all<bf16, packed_columns>(g, static_cast<const bf16*>(from), words);
  pack_all<float, packed_columns>(g, static_cast<const float*>(from), words);
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(pack_for_panels);
HWY_EXPORT(panels_size);
HWY_EXPORT(pack_right_factor);
int64_t packed_panels_size(int64_t k, int64_t n) { return HWY_DYNAMIC_DISPATCH(panels_size)(k, n); }
void pack_panels(const Gemm& shape, const void* from, float* to) {
  HWY_DYNAMIC_DISPATCH(pack_for_panels)(shape, from, to);
}
void pack_right(const Gemm& shape, const void* from, void* to) {
  HWY_DYNAMIC_DISPATCH(pack_right_factor)(shape, from, to);
}
}  // namespace tessera
#endif
