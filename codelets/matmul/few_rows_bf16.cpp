// Dot products of bf16 rows by the CPU's own instruction for them, AVX-512's vdpbf16ps: sums in f32 of exact
// products, two at a time.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/few_rows_bf16.hpp"

#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's intrinsics begin with undefined vectors
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#define WITH_BF16 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")))

namespace tessera {
namespace {

constexpr int64_t lanes = 32;  // of bf16
// The hardware stops fetching ahead where a page of memory ends, so that is what is fetched for it.
constexpr int64_t page = 4096 / sizeof(bf16);

WITH_BF16 inline __m512bh load(const bf16* p) { return (__m512bh)_mm512_loadu_si512(p); }
WITH_BF16 inline __m512bh load_some(const bf16* p, int64_t n) {
  return (__m512bh)_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p);
}

// Lanes are added as a tree, i and i + 8, then i and i + 4, and so on: the same for one vector and for
// sixteen.
WITH_BF16 inline float sum_of(__m512 x) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// The sums of x[0], x[4], x[8] and x[12] in the lowest four lanes, of x[1], x[5], … in the next, and so on.
WITH_BF16 inline __m512 sums_of(const __m512 (&x)[16]) {
  __m512 eights[8], fours[4], twos[2];
  for (int i = 0; i < 8; ++i)
    eights[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0x44),
                              _mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0xee));
  for (int i = 0; i < 4; ++i)
    fours[i] = _mm512_add_ps(_mm512_shuffle_f32x4(eights[2 * i], eights[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(eights[2 * i], eights[2 * i + 1], 0xdd));
  for (int i = 0; i < 2; ++i)
    twos[i] = _mm512_add_ps(_mm512_shuffle_ps(fours[2 * i], fours[2 * i + 1], 0x44),
                            _mm512_shuffle_ps(fours[2 * i], fours[2 * i + 1], 0xee));
  return _mm512_add_ps(_mm512_shuffle_ps(twos[0], twos[1], 0x88), _mm512_shuffle_ps(twos[0], twos[1], 0xdd));
}

// y[r, c] += x[r, :] · b[c, :], one sum for each pair. Meanwhile `ahead` further rows of b come closer, from
// `next` on.
template <int rows, int columns, int ahead>
WITH_BF16 inline void add_dots_of(const BF16Dots& g, const bf16* x, const bf16* b, const bf16* next,
                                  float* y) {
  __m512 sums[columns * rows];  // of column c and row r at [rows c + r]
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  int64_t l = 0;
  for (; l + lanes <= g.k; l += lanes) {
    __m512bh weights[columns];
    for (int c = 0; c < columns; ++c) weights[c] = load(b + c * g.ldb + l);
    for (int c = 0; c < ahead; ++c) __builtin_prefetch(next + c * g.ldb + l, 0, 2);
    for (int r = 0; r < rows; ++r) {
      const __m512bh by = load(x + r * g.ldx + l);
      for (int c = 0; c < columns; ++c)
        sums[rows * c + r] = _mm512_dpbf16_ps(sums[rows * c + r], by, weights[c]);
    }
  }
  if (l < g.k)
    for (int r = 0; r < rows; ++r) {
      const __m512bh by = load_some(x + r * g.ldx + l, g.k - l);
      for (int c = 0; c < columns; ++c)
        sums[rows * c + r] = _mm512_dpbf16_ps(sums[rows * c + r], by, load_some(b + c * g.ldb + l, g.k - l));
    }
  if constexpr (rows == 4 && columns == 4) {
    alignas(64) float by_rows[16];
    _mm512_store_ps(by_rows, sums_of(sums));
    for (int r = 0; r < rows; ++r)
      _mm_storeu_ps(y + r * g.n, _mm_add_ps(_mm_loadu_ps(y + r * g.n), _mm_load_ps(by_rows + 4 * r)));
  } else {
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) y[r * g.n + c] += sum_of(sums[rows * c + r]);
  }
}

// The rows of x in fours, which share the fetching of the next four rows of b, and then one by one.
WITH_BF16 void add_four_with_all(const BF16Dots& g, const bf16* x, const bf16* b, float* y) {
  const bf16* next = b + 4 * g.ldb;
  int64_t r = 0;
  for (; r + 4 <= g.m; r += 4)
    if (g.m >= 16)
      add_dots_of<4, 4, 1>(g, x + r * g.ldx, b, next + r % 16 / 4 * g.ldb, y + r * g.n);
    else if (r == 0)
      add_dots_of<4, 4, 4>(g, x, b, next, y);
    else
      add_dots_of<4, 4, 0>(g, x + r * g.ldx, b, next, y + r * g.n);
  for (; r < g.m; ++r) add_dots_of<1, 4, 0>(g, x + r * g.ldx, b, next, y + r * g.n);
}

}  // namespace

// Intel's cores do half as much by vdpbf16ps as by multiply-adds in f32: bf16 pays there by matrix units.
bool has_bf16_dots() {
  const bool pays = !__builtin_cpu_is("intel") || has_bf16_tiles();
  return pays && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512dq");
}

// Fewer than four rows of x go through b row by row: memory is fastest where it is read from one end to the
// other.
WITH_BF16 void add_bf16_dots(const BF16Dots& g, const bf16* x, const bf16* b, float* y) {
  int64_t j = g.first;
  if (g.m >= 4)
    for (; j + 4 <= g.n; j += 4) add_four_with_all(g, x, b + j * g.ldb, y + j);
  for (; j < g.n; ++j)
    for (int64_t r = 0; r < g.m; ++r)
      add_dots_of<1, 1, 1>(g, x + r * g.ldx, b + j * g.ldb, b + j * g.ldb + page, y + r * g.n + j);
}

}  // namespace tessera

#else

namespace tessera {
bool has_bf16_dots() { return false; }
void add_bf16_dots(const BF16Dots&, const bf16*, const bf16*, float*) {}
}  // namespace tessera

#endif
