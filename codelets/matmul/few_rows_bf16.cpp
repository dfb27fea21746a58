// Dot products of bf16 rows by the CPU's own instruction for them, AVX-512's vdpbf16ps: sums in f32 of exact
// products, two at a time.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/few_rows_bf16.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#define WITH_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

namespace tessera {
namespace {

constexpr int64_t lanes = 32;  // of bf16

WITH_BF16 inline __m512bh load(const bf16* p) { return (__m512bh)_mm512_loadu_si512(p); }
WITH_BF16 inline __m512bh load_some(const bf16* p, int64_t n) {
  return (__m512bh)_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p);
}

WITH_BF16 inline float sum_of(__m512 x) {
  alignas(64) float v[16];
  _mm512_store_ps(v, x);
  for (int n = 8; n > 0; n /= 2)
    for (int i = 0; i < n; ++i) v[i] += v[i + n];
  return v[0];
}

// y[r, c] += x[r, :] · b[c, :], one sum for each pair. Meanwhile `ahead` further rows of b come closer, from
// `next` on.
template <int rows, int columns, int ahead>
WITH_BF16 inline void add_dots_of(const BF16Dots& g, const bf16* x, const bf16* b, const bf16* next,
                                  float* y) {
  __m512 sums[rows][columns];
  for (auto& row : sums)
    for (__m512& sum : row) sum = _mm512_setzero_ps();
  int64_t l = 0;
  for (; l + lanes <= g.k; l += lanes) {
    __m512bh weights[columns];
    for (int c = 0; c < columns; ++c) weights[c] = load(b + c * g.ldb + l);
    for (int c = 0; c < ahead; ++c) __builtin_prefetch(next + c * g.ldb + l);
    for (int r = 0; r < rows; ++r) {
      const __m512bh by = load(x + r * g.ldx + l);
      for (int c = 0; c < columns; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], by, weights[c]);
    }
  }
  if (l < g.k)
    for (int r = 0; r < rows; ++r) {
      const __m512bh by = load_some(x + r * g.ldx + l, g.k - l);
      for (int c = 0; c < columns; ++c)
        sums[r][c] = _mm512_dpbf16_ps(sums[r][c], by, load_some(b + c * g.ldb + l, g.k - l));
    }
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) y[r * g.n + c] += sum_of(sums[r][c]);
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

bool has_bf16_dots() { return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw"); }

// Fewer than four rows of x go through b row by row: memory is fastest where it is read from one end to the
// other.
WITH_BF16 void add_bf16_dots(const BF16Dots& g, const bf16* x, const bf16* b, float* y) {
  int64_t j = 0;
  if (g.m >= 4)
    for (; j + 4 <= g.n; j += 4) add_four_with_all(g, x, b + j * g.ldb, y + j);
  for (; j < g.n; ++j)
    for (int64_t r = 0; r < g.m; ++r)
      add_dots_of<1, 1, 0>(g, x + r * g.ldx, b + j * g.ldb, b, y + r * g.n + j);
}

}  // namespace tessera

#else

namespace tessera {
bool has_bf16_dots() { return false; }
void add_bf16_dots(const BF16Dots&, const bf16*, const bf16*, float*) {}
}  // namespace tessera

#endif
