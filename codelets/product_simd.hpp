// Small f32 matrix products held in registers, for the vector unit at hand.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/simd.hpp"

#if defined(TESSERA_CODELETS_PRODUCT_SIMD) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_PRODUCT_SIMD
#undef TESSERA_CODELETS_PRODUCT_SIMD
#else
#define TESSERA_CODELETS_PRODUCT_SIMD
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

inline constexpr int64_t strip_rows = 8;  // of every product

// The left factor: element (i, k) is at[i · row + k · step].
struct LeftFactor {
  const float* at;
  int64_t row, step;
};

// Rows of f32 elements.
struct RightFactor {
  const float* at;
  int64_t ld;
};
struct Product {
  float* at;
  int64_t ld;
  bool add;  // to what is there
};

// c[i, j] (+)= Σ_k a(i, k) b[k, j] for n_rows rows and n_vectors vectors of columns.
template <int n_rows, int n_vectors>
HWY_INLINE void panel(int64_t n_steps, LeftFactor a, RightFactor b, Product c) {
  const int64_t step = lanes();
  Vec sums[n_rows][n_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < n_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < n_vectors; ++j) sums[i][j] = c.add ? load(c.at + i * c.ld + j * step) : set(0);
  for (int64_t k = 0; k < n_steps; ++k) {
    Vec right[n_vectors];
#pragma GCC unroll 4
    for (int j = 0; j < n_vectors; ++j) right[j] = load(b.at + k * b.ld + j * step);
#pragma GCC unroll 8
    for (int i = 0; i < n_rows; ++i) {
      const Vec left = set(a.at[i * a.row + k * a.step]);
#pragma GCC unroll 4
      for (int j = 0; j < n_vectors; ++j) sums[i][j] = hn::MulAdd(left, right[j], sums[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < n_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < n_vectors; ++j) store(sums[i][j], c.at + i * c.ld + j * step);
}

// A strip in as few passes over its right factor as the registers allow: 32 of them, or 16.
template <int n_vectors>
HWY_INLINE void strip_panels(int64_t n_steps, LeftFactor a, RightFactor b, Product c) {
  constexpr int n_rows = n_vectors * (HWY_MAX_BYTES >= 64 ? 8 : 12) > 23 ? 4 : 8;
  for (int64_t i = 0; i < strip_rows; i += n_rows)
    panel<n_rows, n_vectors>(n_steps, {a.at + i * a.row, a.row, a.step}, b, {c.at + i * c.ld, c.ld, c.add});
}

// c[i, j] (+)= Σ_k a(i, k) b[k, j] for the rows of one strip and n columns, a multiple of lanes().
HWY_INLINE void strip_product(int64_t n, int64_t n_steps, LeftFactor a, RightFactor b, Product c) {
  constexpr int64_t most = HWY_MAX_BYTES >= 64 ? 4 : 3;
  for (int64_t left = n / lanes(); left > 0;) {
    const int64_t now = left <= most ? left : left < 2 * most - 1 ? (left + 1) / 2 : most;
    if (now == 4) strip_panels<most>(n_steps, a, b, c);
    if (now == 3) strip_panels<3>(n_steps, a, b, c);
    if (now == 2) strip_panels<2>(n_steps, a, b, c);
    if (now == 1) strip_panels<1>(n_steps, a, b, c);
    left -= now;
    b.at += now * lanes();
    c.at += now * lanes();
  }
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
