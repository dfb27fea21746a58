// Matrix products with sums in f32, on CPUs where the library's are slower: f32 without AVX-512, bf16 without
// units that are faster than f32.
// SPDX-License-Identifier: Apache-2.0
//
// Blocks as in K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008: a
// panel of the right factor stays in the first cache, a block of the left one in the second.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/panels.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include <algorithm>

#include "codelets/matmul/gemm.hpp"
#include "codelets/product_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

// Of both factors at a time; the rows are whole panels.
constexpr int64_t block_steps = 256, block_rows = 192, block_cols = 1032;

constexpr int64_t panel_rows = HWY_MAX_BYTES >= 64 ? 8 : 4;
constexpr int64_t most_vectors = 3;  // of a panel's columns: 24 sums in 32 registers, or 12 in 16

// So many vectors of the columns that are left are one panel.
int64_t panel_vectors(int64_t left) { return left == most_vectors + 1 ? 2 : std::min(left, most_vectors); }

// A factor of a product: for step k of the sums, line i has the element at[i · ld + k] or at[k · ld + i].
struct Factor {
  const void* at;
  DType type;
  int64_t ld;
  bool along;  // a line's steps lie side by side
};

struct Block {
  int64_t line, n_lines, step, n_steps;
};

// Lines by panels of `width`, one after the other: element (k, i) of a panel is to[k · width + i], and 0 for
// lines that are missing. What comes next is fetched ahead, as strides of whole rows hide it from the
// hardware.

// Element (i, k) of the lines is at[i · ld + k].
template <class T>
void pack_along(const T* at, int64_t ld, int64_t n_lines, int64_t n_steps, int64_t width, float* to) {
  static const T zeros[block_steps] = {};
  for (int64_t i = 0; i < n_lines; i += 4) {
    const auto line = [&](int64_t j) { return i + j < n_lines ? at + (i + j) * ld : zeros; };
    const T *l0 = line(0), *l1 = line(1), *l2 = line(2), *l3 = line(3);
    float* panel = to + i / width * width * n_steps + i % width;
    float fours[4 * max_lanes];
    each_vector(n_steps, [&](int64_t k, auto part) {
      for (int64_t j = 4; j < 8; ++j) hwy::Prefetch(at + (i + j) * ld + k);
      hn::StoreInterleaved4(load(l0 + k, part), load(l1 + k, part), load(l2 + k, part), load(l3 + k, part),
                            F32(), fours);
      const int64_t n = std::min(lanes(), n_steps - k);
      for (int64_t s = 0; s < n; ++s) std::copy_n(fours + 4 * s, 4, panel + (k + s) * width);
    });
  }
  for (int64_t i = (n_lines + 3) / 4 * 4; i % width != 0; i += 4)
    for (int64_t k = 0; k < n_steps; ++k)
      std::fill_n(to + i / width * width * n_steps + k * width + i % width, 4, 0.0f);
}

// Element (i, k) of the lines is at[k · ld + i]. Whole panels, with constants for what is constant: as many
// at a time as share 64 bytes in f32.
template <class T>
HWY_INLINE void pack_panels(const T* at, int64_t ld, int64_t n_panels, int64_t n_steps, int64_t width,
                            float* to) {
  constexpr int64_t ahead = 12;
  for (int64_t k = 0; k < n_steps; ++k, at += ld, to += width) {
    for (int64_t i = 0; i < n_panels * width; i += 16) hwy::Prefetch(at + ahead * ld + i);
    for (int64_t p = 0; p < n_panels; ++p) {
      const T* from = at + p * width;
      float* row = to + p * width * n_steps;
      if (width % lanes() == 0)
        for (int64_t i = 0; i < width; i += lanes()) store(load(from + i), row + i);
      else
        for (int64_t i = 0; i < width; ++i) row[i] = static_cast<float>(from[i]);
    }
  }
}

template <class T>
void pack_across(const T* at, int64_t ld, int64_t n_lines, int64_t n_steps, int64_t width, float* to) {
  constexpr int64_t together = 16 / panel_rows;
  int64_t i = 0;
  if (width == panel_rows) {
    for (; i + together * width <= n_lines; i += together * width)
      pack_panels(at + i, ld, together, n_steps, panel_rows, to + i * n_steps);
  } else if (n_lines == width) {
    if (width == 3 * lanes()) return pack_panels(at, ld, 1, n_steps, 3 * lanes(), to);
    if (width == 2 * lanes()) return pack_panels(at, ld, 1, n_steps, 2 * lanes(), to);
  }
  for (; i < n_lines; i += width)
    for (int64_t k = 0; k < n_steps; ++k)
      for (int64_t j = 0; j < width; ++j)
        to[i * n_steps + k * width + j] = i + j < n_lines ? static_cast<float>(at[k * ld + i + j]) : 0.0f;
}

void pack(const Factor& factor, const Block& block, int64_t width, float* to) {
  with_float(factor.type, [&]<class T>(T) {
    const T* at = static_cast<const T*>(factor.at);
    if (factor.along)
      pack_along(at + block.line * factor.ld + block.step, factor.ld, block.n_lines, block.n_steps, width,
                 to);
    else
      pack_across(at + block.step * factor.ld + block.line, factor.ld, block.n_lines, block.n_steps, width,
                  to);
  });
}

void multiply_panel(int64_t vectors, int64_t n_steps, const float* left, const float* right, float* c,
                    int64_t ldc, bool add) {
  const LeftFactor a{left, 1, panel_rows};
  const RightFactor b{right, vectors * lanes()};
  if (vectors == 3) panel<panel_rows, 3>(n_steps, a, b, {c, ldc, add});
  if (vectors == 2) panel<panel_rows, 2>(n_steps, a, b, {c, ldc, add});
  if (vectors == 1) panel<panel_rows, 1>(n_steps, a, b, {c, ldc, add});
}

// The same for a panel that reaches over the end of c: by way of a whole one.
void multiply_edge(int64_t rows, int64_t cols, int64_t vectors, int64_t n_steps, const float* left,
                   const float* right, float* c, int64_t ldc, bool add) {
  float whole[panel_rows * most_vectors * max_lanes] = {};
  const int64_t ld = vectors * lanes();
  if (add)
    for (int64_t i = 0; i < rows; ++i) std::copy_n(c + i * ldc, cols, whole + i * ld);
  multiply_panel(vectors, n_steps, left, right, whole, ld, add);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(whole + i * ld, cols, c + i * ldc);
}

// f(first column, columns, vectors) for each panel of `cols` columns.
template <class F>
HWY_INLINE void each_panel(int64_t cols, F f) {
  for (int64_t j = 0; j < cols;) {
    const int64_t vectors = panel_vectors((cols - j + lanes() - 1) / lanes());
    const int64_t width = std::min(vectors * lanes(), cols - j);
    f(j, width, vectors);
    j += width;
  }
}

// c (+)= left · right, blocks that are packed by panels.
void multiply_block(int64_t rows, int64_t cols, int64_t n_steps, const float* left, const float* right,
                    const Product& c) {
  each_panel(cols, [&](int64_t j, int64_t width, int64_t vectors) {
    for (int64_t i = 0; i < rows; i += panel_rows) {
      float* to = c.at + i * c.ld + j;
      for (int64_t ahead = panel_rows; ahead < 2 * panel_rows && i + ahead < rows; ++ahead)
        hwy::Prefetch(to + ahead * c.ld);
      const float *a = left + i * n_steps, *b = right + j * n_steps;
      if (i + panel_rows <= rows && width == vectors * lanes())
        multiply_panel(vectors, n_steps, a, b, to, c.ld, c.add);
      else
        multiply_edge(std::min(panel_rows, rows - i), width, vectors, n_steps, a, b, to, c.ld, c.add);
    }
  });
}

// sums [m, n] (+)= a · b. What is summed is read and written again for every block of steps.
void multiply_all(const Factor& a, const Factor& b, int64_t m, int64_t n, int64_t k, const Product& sums) {
  ScratchScope scope;
  const int64_t most = std::min(k, block_steps);
  float* left = scratch<float>(most * std::min(m + panel_rows, block_rows));
  float* right = scratch<float>(most * (std::min(n, block_cols) + lanes()));
  const int64_t blocks = (k + block_steps - 1) / block_steps;
  for (int64_t col = 0; col < n; col += block_cols)
    for (int64_t p = 0; p < blocks; ++p) {
      const int64_t n_cols = std::min(block_cols, n - col);
      const int64_t step = k * p / blocks, n_steps = k * (p + 1) / blocks - step;
      each_panel(n_cols, [&](int64_t j, int64_t width, int64_t vectors) {
        pack(b, {col + j, width, step, n_steps}, vectors * lanes(), right + j * n_steps);
      });
      for (int64_t row = 0; row < m; row += block_rows) {
        const int64_t n_rows = std::min(block_rows, m - row);
        pack(a, {row, n_rows, step, n_steps}, panel_rows, left);
        multiply_block(n_rows, n_cols, n_steps, left, right,
                       {sums.at + row * sums.ld + col, sums.ld, sums.add || p > 0});
      }
    }
}

void multiply_by_panels(const Gemm& g, const GemmOperands& with) {
  ScratchScope scope;
  const Factor a{with.a, g.a, g.lda, !g.transpose_a}, b{with.b, g.b, g.ldb, g.transpose_b};
  const auto as_it_is = [](auto x) { return x; };
  const auto sum = [](auto x, auto y) { return hn::Add(x, y); };
  with_float(g.c, [&]<class T>(T) {
    constexpr bool in_place = std::is_same_v<T, float>;
    T* c = static_cast<T*>(with.c);
    float* at = in_place ? static_cast<float*>(with.c) : scratch<float>(g.m * g.n);
    const Product sums{at, in_place ? g.ldc : g.n, g.accumulate || g.bias};
    for (int64_t i = 0; i < g.m && sums.add; ++i) {
      float* to = sums.at + i * sums.ld;
      if (g.accumulate && g.bias)
        map(g.n, to, sum, c + i * g.ldc, with.bias);
      else if (g.bias)
        map(g.n, to, as_it_is, with.bias);
      else if (!in_place)
        map(g.n, to, as_it_is, c + i * g.ldc);
    }
    multiply_all(a, b, g.m, g.n, g.k, sums);
    for (int64_t i = 0; i < g.m && !in_place; ++i) map(g.n, c + i * g.ldc, as_it_is, sums.at + i * sums.ld);
  });
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(multiply_by_panels);
void panel_product(const Gemm& shape, const GemmOperands& operands) {
  HWY_DYNAMIC_DISPATCH(multiply_by_panels)(shape, operands);
}
}  // namespace tessera
#endif
