// Products of a few rows with a matrix, as in decoding: they read every weight once, so that memory is what
// bounds them.
// SPDX-License-Identifier: Apache-2.0
//
// A row's sums do not depend on how many rows there are: sequences decoded together have the bits that each
// has alone.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/few_rows.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cstdlib>

#include "codelets/matmul/few_rows_bf16.hpp"
#include "codelets/matmul/few_rows_packed.hpp"
#include "codelets/matmul/gemm.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// y[r, c] += Σ_l x[r, l] b[l, c] over eight rows l of b, for every r < rows. Here x has the eight values of a
// row together, one row's after the other's.
template <class T>
HWY_INLINE void add_eight_rows(int64_t rows, int64_t cols, const float* x, const T* b, int64_t ldb, float* y,
                               int64_t ldy) {
  each_vector(cols, [&](int64_t j, auto part) {
    const T* at = b + j;
    const Vec b0 = load(at, part), b1 = load(at + ldb, part), b2 = load(at + 2 * ldb, part),
              b3 = load(at + 3 * ldb, part), b4 = load(at + 4 * ldb, part), b5 = load(at + 5 * ldb, part),
              b6 = load(at + 6 * ldb, part), b7 = load(at + 7 * ldb, part);
    for (int row = 8; row < 16; ++row) hwy::Prefetch(at + row * ldb);
    for (int64_t r = 0; r < rows; ++r) {
      const float* by = x + 8 * r;
      float* sums = y + r * ldy + j;
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

// y[m, n] += x[m, k] b[k, n]: eight rows of b at a time pass through all rows of x, each read from one end to
// the other. What is summed stays in the first cache, in a buffer whose rows do not lie a power of two apart,
// as they would share their places there.
template <class T>
void add_rows(const Gemm& g, const float* x, const T* b, float* y) {
  const int64_t groups = (g.k + 7) / 8, whole = g.k / 8;
  float* packed = scratch<float>(groups * g.m * 8);
  for (int64_t l = 0; l < g.k; ++l)
    for (int64_t r = 0; r < g.m; ++r) packed[(l / 8 * g.m + r) * 8 + l % 8] = x[r * g.k + l];

  const int64_t columns = std::min<int64_t>(4096, std::max<int64_t>(256, 6144 / g.m / 64 * 64));
  const int64_t pitch = columns + 16;
  float* sums = scratch<float>(g.m * pitch);
  for (int64_t first = 0; first < g.n; first += columns) {
    const int64_t n = std::min(columns, g.n - first);
    for (int64_t r = 0; r < g.m; ++r) std::copy_n(y + r * g.n + first, n, sums + r * pitch);
    for (int64_t group = 0; group < whole; ++group)
      add_eight_rows(g.m, n, packed + group * g.m * 8, b + group * 8 * g.ldb + first, g.ldb, sums, pitch);
    for (int64_t l = whole * 8; l < g.k; ++l)
      each_vector(n, [&](int64_t j, auto part) {
        const Vec weights = load(b + l * g.ldb + first + j, part);
        for (int64_t r = 0; r < g.m; ++r) {
          float* sum = sums + r * pitch + j;
          store(hn::MulAdd(set(packed[(whole * g.m + r) * 8 + l % 8]), weights, load(sum, part)), sum, part);
        }
      });
    for (int64_t r = 0; r < g.m; ++r) std::copy_n(sums + r * pitch, n, y + r * g.n + first);
  }
}

// How dot products with a row of b go through it: by vectors of its elements as they lie; of bf16, 32 bits at
// a time are two elements, which become f32 by a shift and a mask, so that elements with even places come
// first and then those with odd ones.
template <class T>
inline constexpr int64_t in_word = std::is_same_v<T, bf16> ? 2 : 1;

// Of a row of x, which lies as it is gone through, and ends with zeros where a last step is not whole.
template <class T>
HWY_INLINE int64_t row_of_x(int64_t k) {
  const int64_t step = in_word<T> * lanes();
  return (k + step - 1) / step * step;
}
HWY_INLINE Vec even_of(hn::Vec<hn::RebindToUnsigned<F32>> words) {
  return hn::BitCast(F32(), hn::ShiftLeft<16>(words));
}
HWY_INLINE Vec odd_of(hn::Vec<hn::RebindToUnsigned<F32>> words) {
  return hn::BitCast(F32(), hn::And(words, hn::Set(hn::RebindToUnsigned<F32>(), 0xffff0000u)));
}
HWY_INLINE auto words_at(const bf16* p, AllLanes) {
  return hn::LoadU(hn::RebindToUnsigned<F32>(), reinterpret_cast<const uint32_t*>(p));
}
HWY_INLINE auto words_at(const bf16* p, SomeLanes some) {
  bf16 part[2 * max_lanes] = {};
  std::copy_n(p, some.n, part);
  return words_at(part, AllLanes());
}

// f(place in x, where to fetch ahead, vector of a row of b) for one vector of products after the other; where
// two come from the same memory, only the first fetches.
template <class F>
HWY_INLINE void each_product(const float*, int64_t k, F f) {
  each_vector(k, [&](int64_t l, auto part)
                     HWY_ATTR { f(l, l, [&](const float* row) HWY_ATTR { return load(row + l, part); }); });
}
template <class F>
HWY_INLINE void each_product(const bf16*, int64_t k, F f) {
  const int64_t step = 2 * lanes();
  const auto both = [&](int64_t l, auto part) HWY_ATTR {
    f(l, l, [&](const bf16* row) HWY_ATTR { return even_of(words_at(row + l, part)); });
    f(l + lanes(), -1, [&](const bf16* row) HWY_ATTR { return odd_of(words_at(row + l, part)); });
  };
  int64_t l = 0;
  for (; l + step <= k; l += step) both(l, AllLanes());
  if (l < k) both(l, SomeLanes{k - l});
}

// Whether there are 32 vector registers, not 16.
constexpr bool many_registers = !HWY_ARCH_X86 || HWY_MAX_BYTES >= 64;

// Where registers are few, the compiler would rather read a vector again for each of its uses.
HWY_INLINE void keep_in_register([[maybe_unused]] Vec& v) {
#if HWY_ARCH_X86 && HWY_MAX_BYTES < 64
  asm("" : "+x"(v.raw));
#endif
}

// y[r, c] += x[r, :] · b[c, :] for some rows of both, one sum for each pair. Meanwhile `ahead` further rows
// of b come closer, from `next` on, or all memory from there as it lies: into the second cache, as the first
// one can wait for too few lines at a time to hide memory. A function of its own, or many such loops in one
// would be at a loss for registers.
constexpr int as_it_lies = -1;
template <int rows, int columns, int ahead, class T>
HWY_NOINLINE void add_dots_of(const Gemm& g, const float* x, const T* b, const T* next, float* y) {
  const int64_t ldx = row_of_x<T>(g.k);
  Vec sums[rows][columns];
  for (auto& row : sums)
    for (Vec& sum : row) sum = set(0);
  each_product(b, g.k, [&](int64_t place, int64_t fetch, auto vector_of) HWY_ATTR {
    Vec weights[columns];
    for (int c = 0; c < columns; ++c) weights[c] = vector_of(b + c * g.ldb);
    if (fetch >= 0)
      for (int c = 0; c < std::abs(ahead); ++c)
        __builtin_prefetch(next + (ahead == as_it_lies ? columns * fetch : c * g.ldb + fetch), 0, 2);
    for (int r = 0; r < rows; ++r) {
      Vec by = load(x + r * ldx + place);
      keep_in_register(by);
      for (int c = 0; c < columns; ++c) sums[r][c] = hn::MulAdd(by, weights[c], sums[r][c]);
    }
  });
  for (int r = 0; r < rows; ++r)
    for (int first = 0; first < columns; first += 4) {
      const int n = std::min(4, columns - first);
      const auto sum = [&](int c) HWY_ATTR { return c < n ? sums[r][first + c] : set(0); };
      float by_row[4];
      lane_sums(sum(0), sum(1), sum(2), sum(3), by_row);
      for (int c = 0; c < n; ++c) y[r * g.n + first + c] += by_row[c];
    }
}

// The rows of x in fours, and then one by one, with some rows of b. The first fours share the fetching of the
// next rows of b, as evenly as can be, so that memory is never idle: six rows as two, one, two, one.
template <int columns, class T>
HWY_INLINE void add_dots_with_all(const Gemm& g, const float* x, const T* b, float* y) {
  const int64_t ldx = row_of_x<T>(g.k);
  const T* next = b + columns * g.ldb;
  int64_t r = 0;
  for (; r + 4 <= g.m; r += 4) {
    const float* rows = x + r * ldx;
    float* to = y + r * g.n;
    if (columns > 1 && g.m >= 16) {
      const int64_t four = r / 4, fetched = columns == 6 ? (3 * four + 1) / 2 : four;
      const T* ahead = next + fetched * g.ldb;
      if (fetched >= columns)
        add_dots_of<4, columns, 0>(g, rows, b, next, to);
      else if (columns == 6 && four % 2 == 0)
        add_dots_of<4, columns, 2>(g, rows, b, ahead, to);
      else
        add_dots_of<4, columns, 1>(g, rows, b, ahead, to);
    } else if (r == 0) {
      add_dots_of<4, columns, columns>(g, rows, b, next, to);
    } else {
      add_dots_of<4, columns, 0>(g, rows, b, next, to);
    }
  }
  if (columns <= 2 && r == 0) {  // the hardware stops fetching ahead where a page of memory ends
    add_dots_of<1, columns, as_it_lies>(g, x, b, b + 4096 / sizeof(T), y);
    ++r;
  }
  for (; r < g.m; ++r) add_dots_of<1, columns, 0>(g, x + r * ldx, b, next, y + r * g.n);
}

// y[m, n] += x[m, k] bᵀ, b [n, k]: dot products, of as many rows of b at a time as registers can hold sums
// of; but of fewer than four rows of x, row by row of b, as memory is fastest where it is read from one end
// to the other. A row of bf16 in narrow vectors would wait for its one sum: there go two.
template <class T>
void add_dots(const Gemm& g, const float* x, const T* b, float* y) {
  int64_t j = 0;
  if (HWY_MAX_BYTES >= 64 && in_word<T> == 1 && g.m >= 16)
    for (; j + 6 <= g.n; j += 6) add_dots_with_all<6>(g, x, b + j * g.ldb, y + j);
  constexpr int columns = many_registers ? 4 : 4 - in_word<T>;
  if (g.m >= 4 || columns == 2)
    for (; j + columns <= g.n; j += columns) add_dots_with_all<columns>(g, x, b + j * g.ldb, y + j);
  for (; j < g.n; ++j) add_dots_with_all<1>(g, x, b + j * g.ldb, y + j);
}

// A row of x in f32 as add_dots goes through it beside rows of S; its elements are `step` apart.
template <class S, class T>
void arrange(int64_t k, const T* from, int64_t step, float* to) {
  if (std::is_same_v<S, T> && step == 1) {
    each_product(from, k, [&](int64_t place, int64_t, auto vector_of) HWY_ATTR {
      store(vector_of(from), to + place);
    });
    return;
  }
  const int64_t words = lanes(), all = in_word<S> * words;
  for (int64_t l = 0; l < k; l += all)
    for (int64_t part = 0; part < in_word<S>; ++part)
      for (int64_t i = 0; i < words; ++i) {
        const int64_t at = l + i * in_word<S> + part;
        *to++ = at < k ? static_cast<float>(from[at * step]) : 0.0f;
      }
}

template <class S>
float* rows_of_x(const Gemm& g, const void* a) {
  const int64_t ldx = g.transpose_b ? row_of_x<S>(g.k) : g.k, step = g.transpose_a ? g.lda : 1;
  float* x = scratch<float>(g.m * ldx);
  with_float(g.a, [&]<class T>(T) {
    for (int64_t r = 0; r < g.m; ++r) {
      const T* from = static_cast<const T*>(a) + r * (g.transpose_a ? 1 : g.lda);
      float* to = x + r * ldx;
      if (g.transpose_b)
        arrange<S>(g.k, from, step, to);
      else
        for (int64_t l = 0; l < g.k; ++l) to[l] = static_cast<float>(from[l * step]);
    }
  });
  return x;
}

void add_dots_as_bf16(BF16Dots g, const bf16* x, const bf16* b, float* y) {
  if (has_bf16_tiles()) g.first = add_bf16_tiles(g, x, b, y);
  add_bf16_dots(g, x, b, y);
}

void multiply_few(const Gemm& g, const GemmOperands& with) {
  static const bool bf16_dots = has_bf16_dots();
  ScratchScope scope;
  const bool as_bf16 =
      bf16_dots && g.transpose_b && !g.transpose_a && g.a == DType::bf16 && g.b == DType::bf16;
  with_float(g.c, [&]<class T>(T) {
    T* c = static_cast<T*>(with.c);
    const int64_t panels = (g.n + packed_columns - 1) / packed_columns;
    const int64_t ldy = g.packed_b ? panels * packed_columns : g.n;
    float* y = scratch<float>(g.m * ldy);
    const auto as_it_is = [](auto v) { return v; };
    const auto sum = [](auto a, auto b) { return hn::Add(a, b); };
    for (int64_t r = 0; r < g.m; ++r) {
      float* sums = y + r * ldy;
      if (g.accumulate)
        map(g.n, sums, as_it_is, c + r * g.ldc);
      else
        std::fill_n(sums, g.n, 0.0f);
      if (g.bias) map(g.n, sums, sum, sums, with.bias);
    }
    if (g.packed_b)
      add_packed_rows(g, with.a, with.b, y);
    else if (as_bf16)
      add_dots_as_bf16({g.m, g.n, g.k, g.lda, g.ldb}, static_cast<const bf16*>(with.a),
                       static_cast<const bf16*>(with.b), y);
    else
      with_float(g.b, [&]<class S>(S) {
        const S* b = static_cast<const S*>(with.b);
        const float* x = rows_of_x<S>(g, with.a);
        g.transpose_b ? add_dots(g, x, b, y) : add_rows(g, x, b, y);
      });
    for (int64_t r = 0; r < g.m; ++r) map(g.n, c + r * g.ldc, as_it_is, y + r * ldy);
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
