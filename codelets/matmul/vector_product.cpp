// Products of one row with a matrix: they read every weight once, so that memory is what bounds them.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/vector_product.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "codelets/matmul/gemm.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// y += x b, b [k, n]: eight rows at a time pass through, each read from one end to the other; what is summed
// stays in the first cache.
template <class T>
void add_rows(const Gemm& g, const float* x, const T* b, float* y) {
  constexpr int64_t columns = 4096;
  for (int64_t first = 0; first < g.n; first += columns) {
    const int64_t n = std::min(columns, g.n - first);
    float* sums = y + first;
    int64_t l = 0;
    for (; l + 8 <= g.k; l += 8) {
      const T* row = b + l * g.ldb + first;
      const int64_t ld = g.ldb;
      const Vec x0 = set(x[l]), x1 = set(x[l + 1]), x2 = set(x[l + 2]), x3 = set(x[l + 3]),
                x4 = set(x[l + 4]), x5 = set(x[l + 5]), x6 = set(x[l + 6]), x7 = set(x[l + 7]);
      each_vector(n, [&](int64_t j, auto part) {
        const T* at = row + j;
        Vec even = hn::MulAdd(x0, load(at, part), load(sums + j, part));
        Vec odd = hn::Mul(x1, load(at + ld, part));
        even = hn::MulAdd(x2, load(at + 2 * ld, part), even);
        odd = hn::MulAdd(x3, load(at + 3 * ld, part), odd);
        even = hn::MulAdd(x4, load(at + 4 * ld, part), even);
        odd = hn::MulAdd(x5, load(at + 5 * ld, part), odd);
        even = hn::MulAdd(x6, load(at + 6 * ld, part), even);
        odd = hn::MulAdd(x7, load(at + 7 * ld, part), odd);
        store(hn::Add(even, odd), sums + j, part);
      });
    }
    for (; l < g.k; ++l) {
      const T* row = b + l * g.ldb + first;
      const Vec by = set(x[l]);
      each_vector(n, [&](int64_t j, auto part) {
        store(hn::MulAdd(by, load(row + j, part), load(sums + j, part)), sums + j, part);
      });
    }
  }
}

// y += x bᵀ, b [n, k]: a dot product per row.
template <class T>
void add_dots(const Gemm& g, const float* x, const T* b, float* y) {
  for (int64_t j = 0; j < g.n; ++j)
    y[j] += sum_of(g.k, [](auto u, auto v) { return hn::Mul(u, v); }, x, b + j * g.ldb);
}

void multiply_row(const Gemm& g, const GemmOperands& with) {
  ScratchScope scope;
  float* x = scratch<float>(g.k);
  with_float(g.a, [&]<class T>(T) {
    const T* a = static_cast<const T*>(with.a);
    for (int64_t l = 0; l < g.k; ++l) x[l] = static_cast<float>(a[g.transpose_a ? l * g.lda : l]);
  });
  with_float(g.c, [&]<class T>(T) {
    T* c = static_cast<T*>(with.c);
    float* y = scratch<float>(g.n);
    for (int64_t j = 0; j < g.n; ++j)
      y[j] = (g.accumulate ? static_cast<float>(c[j]) : 0.0f) + (g.bias ? with.bias[j] : 0.0f);
    with_float(g.b, [&]<class S>(S) {
      const S* b = static_cast<const S*>(with.b);
      g.transpose_b ? add_dots(g, x, b, y) : add_rows(g, x, b, y);
    });
    map(g.n, c, [](auto v) { return v; }, y);
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(multiply_row);
void row_product(const Gemm& shape, const GemmOperands& operands) {
  HWY_DYNAMIC_DISPATCH(multiply_row)(shape, operands);
}
}  // namespace tessera
#endif
