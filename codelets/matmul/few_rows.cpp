// Products of a few rows with a matrix, as in decoding: they read every weight once, so that memory is what
// bounds them.
// SPDX-License-Identifier: Apache-2.0
//
// A row's sums do not depend on how many rows there are: sequences decoded together have the bits that each
// has alone.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/few_rows.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "codelets/matmul/gemm.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// y[m, n] += x[m, k] b[k, n]: eight rows of b at a time pass through all rows of x, each read from one end to
// the other; what is summed stays in the first cache.
template <class T>
void add_rows(const Gemm& g, const float* x, const T* b, float* y) {
  const int64_t columns = std::min<int64_t>(4096, std::max<int64_t>(256, 6144 / g.m / 64 * 64)), ld = g.ldb;
  for (int64_t first = 0; first < g.n; first += columns) {
    const int64_t n = std::min(columns, g.n - first);
    int64_t l = 0;
    for (; l + 8 <= g.k; l += 8) {
      const T* row = b + l * ld + first;
      each_vector(n, [&](int64_t j, auto part) {
        const T* at = row + j;
        const Vec b0 = load(at, part), b1 = load(at + ld, part), b2 = load(at + 2 * ld, part),
                  b3 = load(at + 3 * ld, part), b4 = load(at + 4 * ld, part), b5 = load(at + 5 * ld, part),
                  b6 = load(at + 6 * ld, part), b7 = load(at + 7 * ld, part);
        for (int64_t r = 0; r < g.m; ++r) {
          const float* by = x + r * g.k + l;
          float* sums = y + r * g.n + first + j;
          Vec even = hn::MulAdd(set(by[0]), b0, load(sums, part));
          Vec odd = hn::Mul(set(by[1]), b1);
          even = hn::MulAdd(set(by[2]), b2, even);
          odd = hn::MulAdd(set(by[3]), b3, odd);
          even = hn::MulAdd(set(by[4]), b4, even);
          odd = hn::MulAdd(set(by[5]), b5, odd);
          even = hn::MulAdd(set(by[6]), b6, even);
          odd = hn::MulAdd(set(by[7]), b7, odd);
          store(hn::Add(even, odd), sums, part);
        }
      });
    }
    for (; l < g.k; ++l) {
      const T* row = b + l * ld + first;
      each_vector(n, [&](int64_t j, auto part) {
        const Vec weights = load(row + j, part);
        for (int64_t r = 0; r < g.m; ++r) {
          float* sums = y + r * g.n + first + j;
          store(hn::MulAdd(set(x[r * g.k + l]), weights, load(sums, part)), sums, part);
        }
      });
    }
  }
}

// y[r] += x[r, :] · b for `rows` rows of x, four partial sums each.
template <int rows, class T>
HWY_INLINE void add_dots_with(int64_t k, const float* x, const T* b, float* y, int64_t ldy) {
  Vec sums[rows][4];
  for (auto& row : sums)
    for (Vec& sum : row) sum = set(0);
  const int64_t step = lanes();
  int64_t l = 0;
  for (; l + 4 * step <= k; l += 4 * step)
    for (int64_t p = 0; p < 4; ++p) {
      const Vec weights = load(b + l + p * step);
      for (int64_t r = 0; r < rows; ++r)
        sums[r][p] = hn::MulAdd(load(x + r * k + l + p * step), weights, sums[r][p]);
    }
  each_vector(k - l, [&](int64_t i, auto part) {
    const Vec weights = load(b + l + i, part);
    for (int64_t r = 0; r < rows; ++r)
      sums[r][0] = hn::MulAdd(load(x + r * k + l + i, part), weights, sums[r][0]);
  });
  for (int64_t r = 0; r < rows; ++r)
    y[r * ldy] += hn::GetLane(
        hn::SumOfLanes(F32(), hn::Add(hn::Add(sums[r][0], sums[r][1]), hn::Add(sums[r][2], sums[r][3]))));
}

// y[m, n] += x[m, k] bᵀ, b [n, k]: dot products.
template <class T>
void add_dots(const Gemm& g, const float* x, const T* b, float* y) {
  for (int64_t j = 0; j < g.n; ++j) {
    const T* row = b + j * g.ldb;
    int64_t r = 0;
    for (; r + 4 <= g.m; r += 4) add_dots_with<4>(g.k, x + r * g.k, row, y + r * g.n + j, g.n);
    for (; r < g.m; ++r) add_dots_with<1>(g.k, x + r * g.k, row, y + r * g.n + j, g.n);
  }
}

void multiply_few(const Gemm& g, const GemmOperands& with) {
  ScratchScope scope;
  float* x = scratch<float>(g.m * g.k);
  with_float(g.a, [&]<class T>(T) {
    const T* a = static_cast<const T*>(with.a);
    for (int64_t r = 0; r < g.m; ++r)
      for (int64_t l = 0; l < g.k; ++l)
        x[r * g.k + l] = static_cast<float>(a[g.transpose_a ? l * g.lda + r : r * g.lda + l]);
  });
  with_float(g.c, [&]<class T>(T) {
    T* c = static_cast<T*>(with.c);
    float* y = scratch<float>(g.m * g.n);
    for (int64_t r = 0; r < g.m; ++r)
      for (int64_t j = 0; j < g.n; ++j)
        y[r * g.n + j] =
            (g.accumulate ? static_cast<float>(c[r * g.ldc + j]) : 0.0f) + (g.bias ? with.bias[j] : 0.0f);
    with_float(g.b, [&]<class S>(S) {
      const S* b = static_cast<const S*>(with.b);
      g.transpose_b ? add_dots(g, x, b, y) : add_rows(g, x, b, y);
    });
    for (int64_t r = 0; r < g.m; ++r) map(g.n, c + r * g.ldc, [](auto v) { return v; }, y + r * g.n);
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(multiply_few);
void few_rows_product(const Gemm& shape, const GemmOperands& operands) {
  HWY_DYNAMIC_DISPATCH(multiply_few)(shape, operands);
}
}  // namespace tessera
#endif
