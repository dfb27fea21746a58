// Matrix products with sums in f32, where the library's are slower: f32 without AVX-512, bf16 without units
// that are faster than f32, and large products on Intel's CPUs.
// SPDX-License-Identifier: Apache-2.0
//
// Blocks as in K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008. Rows
// of the left factor go by strips, of which a block stays in the second cache; the right one by panels of
// columns, as pack_right lays them out. What the next panel needs is fetched while one is multiplied: memory
// and arithmetic would take turns otherwise.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/panels.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cstring>

#include "codelets/matmul/gemm.hpp"
#include "codelets/matmul/panel_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

constexpr int64_t group_lines = 48;  // strips that are packed together: whole cache lines
constexpr int64_t most_steps = HWY_MAX_BYTES >= 64 ? 512 : 256;            // of the sums at a time
constexpr int64_t left_bytes = HWY_MAX_BYTES >= 64 ? 1 << 20 : 256 << 10;  // of a block of rows
constexpr int64_t right_bytes = 4 << 20;                                   // of panels that lie packed

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

template <class From, class To>
HWY_INLINE void copy(int64_t n, const From* from, To* to) {
  const auto as_it_is = [](auto x) { return x; };
  map(n, to, as_it_is, from);
}

// A matrix [rows, …] as it is stored: line i of the product has, for step k of its sums, the element at[i ·
// ld + k] if `along`, and at[k · ld + i] otherwise.
struct Factor {
  const void* at;
  DType type;
  int64_t ld;
  bool along;

  const std::byte* of(int64_t line, int64_t step) const {
    const int64_t element = along ? line * ld + step : step * ld + line;
    return static_cast<const std::byte*>(at) + element * static_cast<int64_t>(size_of(type));
  }
};

// What is read next, a rectangle in memory: fetched line by line into the second cache.
class Ahead {
 public:
  Ahead() = default;
  Ahead(const void* at, int64_t ld_bytes, int64_t rows, int64_t row_bytes)
      : row_(static_cast<const char*>(at)), ld_(ld_bytes), rows_(rows), width_(row_bytes) {}

  int64_t lines() const { return rows_ * ((width_ + line - 1) / line); }
  HWY_INLINE void fetch(int64_t n) {
    for (; n > 0 && rows_ > 0; --n) {
      __builtin_prefetch(row_ + at_, 0, 2);
      at_ += line;
      if (at_ >= width_) at_ = 0, row_ += ld_, --rows_;
    }
  }

 private:
  static constexpr int64_t line = 64;
  const char* row_ = nullptr;
  int64_t ld_ = 0, rows_ = 0, width_ = 0, at_ = 0;
};

Ahead ahead(const Factor& f, int64_t line, int64_t lines, int64_t step, int64_t steps) {
  const auto size = static_cast<int64_t>(size_of(f.type));
  return f.along ? Ahead(f.of(line, step), f.ld * size, lines, steps * size)
                 : Ahead(f.of(line, step), f.ld * size, steps, lines * size);
}

// Strips of lines, one after the other: element (k, i) of a strip is to[k · strip_lines + i], and 0 for lines
// that are missing.
constexpr int64_t strip_size(int64_t steps) { return strip_lines * steps; }

template <class T>
void pack_along(const T* at, int64_t ld, int64_t n_lines, int64_t n_steps, float* to) {
  static const T zeros[most_steps] = {};
  float fours[4 * max_lanes];
  for (int64_t i = 0; i < round_up(n_lines, strip_lines); i += 4) {
    const auto line = [&](int64_t j) { return i + j < n_lines ? at + (i + j) * ld : zeros; };
    const T *l0 = line(0), *l1 = line(1), *l2 = line(2), *l3 = line(3);
    const auto strip = [&](int64_t j) {
      return to + j / strip_lines * strip_size(n_steps) + j % strip_lines;
    };
    float *first = strip(i), *second = strip(i + 2);
    const bool whole = i + 2 < round_up(n_lines, strip_lines);
    each_vector(n_steps, [&](int64_t k, auto part) {
      hn::StoreInterleaved4(load(l0 + k, part), load(l1 + k, part), load(l2 + k, part), load(l3 + k, part),
                            F32(), fours);
      const int64_t n = std::min(lanes(), n_steps - k);
      for (int64_t s = 0; s < n; ++s) {
        std::copy_n(fours + 4 * s, 2, first + (k + s) * strip_lines);
        if (whole) std::copy_n(fours + 4 * s + 2, 2, second + (k + s) * strip_lines);
      }
    });
  }
}

template <class T>
void pack_across(const T* at, int64_t ld, int64_t n_lines, int64_t n_steps, float* to) {
  float wide[group_lines] = {};
  const int64_t size = strip_size(n_steps);
  for (int64_t k = 0; k < n_steps; ++k, at += ld, to += strip_lines) {
    const float* row = wide;
    if constexpr (std::is_same_v<T, float>) {
      if (n_lines == group_lines) row = at;
    }
    if (row == wide) copy(n_lines, at, wide);
    if (n_lines == group_lines)
#pragma GCC unroll 8
      for (int64_t p = 0; p < group_lines / strip_lines; ++p)
        std::memcpy(to + p * size, row + p * strip_lines, strip_lines * sizeof(float));
    else
      for (int64_t i = 0; i < round_up(n_lines, strip_lines); i += strip_lines)
        std::memcpy(to + i / strip_lines * size, wide + i, strip_lines * sizeof(float));
  }
}

// A strip of the left factor, its lines `line` and its steps `step` apart.
struct Strip {
  const float* at;
  int64_t line, step;
};

// Sums of a strip's rows and some columns of c; they begin from `from`, or 0 where that is null.
struct Sums {
  float* at;
  int64_t ld;
  const float* from;
  int64_t from_ld;
};

// What is fetched meanwhile, every 64 steps: so many lines of what comes next, and some of the next sums.
constexpr int64_t chunk = 64;
struct Meanwhile {
  Ahead next, sums;
  int64_t lines = 0, sum_lines = 0;

  HWY_INLINE void fetch() {
    next.fetch(lines);
    sums.fetch(sum_lines);
  }
};

template <int n_rows, int n_vectors>
HWY_INLINE void multiply(int64_t n_steps, Strip a, const float* b, const Sums& c, Meanwhile& meanwhile) {
  const int64_t step = lanes();
  Vec sums[n_rows][n_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < n_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < n_vectors; ++j)
      sums[i][j] = c.from ? load(c.from + i * c.from_ld + j * step) : set(0);
  for (int64_t left = n_steps; left > 0; left -= chunk) {
    meanwhile.fetch();
    for (int64_t k = std::min(left, chunk); k > 0; --k, b += panel_columns, a.at += a.step) {
      Vec right[n_vectors];
#pragma GCC unroll 4
      for (int j = 0; j < n_vectors; ++j) right[j] = load(b + j * step);
#pragma GCC unroll 8
      for (int i = 0; i < n_rows; ++i) {
        const Vec one = set(a.at[i * a.line]);
#pragma GCC unroll 4
        for (int j = 0; j < n_vectors; ++j) sums[i][j] = hn::MulAdd(one, right[j], sums[i][j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < n_rows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < n_vectors; ++j) store(sums[i][j], c.at + i * c.ld + j * step);
}

template <int n_vectors, int n_rows = strip_lines>
HWY_NOINLINE void multiply_strip(int64_t rows, int64_t n_steps, Strip a, const float* b, const Sums& c,
                                 Meanwhile& meanwhile) {
  if (rows == n_rows)
    multiply<n_rows, n_vectors>(n_steps, a, b, c, meanwhile);
  else if constexpr (n_rows > 1)
    multiply_strip<n_vectors, n_rows - 1>(rows, n_steps, a, b, c, meanwhile);
}

// The same where only `cols` of the columns are there: by way of a whole strip.
template <int n_vectors>
HWY_NOINLINE void multiply_edge(int64_t rows, int64_t cols, int64_t n_steps, Strip a, const float* b,
                                const Sums& c, Meanwhile& meanwhile) {
  float whole[strip_lines * n_vectors * max_lanes] = {};
  const int64_t ld = n_vectors * lanes();
  for (int64_t i = 0; i < rows && c.from; ++i) std::copy_n(c.from + i * c.from_ld, cols, whole + i * ld);
  multiply_strip<n_vectors>(rows, n_steps, a, b, {whole, ld, c.from ? whole : nullptr, ld}, meanwhile);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(whole + i * ld, cols, c.at + i * c.ld);
}

// A part of a product: rows by the columns of one panel, and some of the steps.
struct Block {
  int64_t row, rows, col, cols, step, steps;
};

class PanelProduct {
 public:
  PanelProduct(const Gemm& g, const GemmOperands& with)
      : g_(g), with_(with), a_{with.a, g.a, g.lda, !g.transpose_a}, b_{with.b, g.b, g.ldb, g.transpose_b} {
    step_blocks_ = (g.k + most_steps - 1) / most_steps;
    const int64_t steps = (g.k + step_blocks_ - 1) / step_blocks_,
                  panel = round_up(steps, packed_rows) * panel_columns;
    const int64_t fit = std::max(left_bytes / 4 / steps / group_lines, int64_t{1}) * group_lines;
    const int64_t row_blocks = (g.m + fit - 1) / fit;
    block_rows_ = round_up((g.m + row_blocks - 1) / row_blocks, group_lines);
    const int64_t all = (g.n + panel_columns - 1) / panel_columns;
    panels_ = std::clamp(right_bytes / 4 / panel, int64_t{1}, all);
    kept_ = row_blocks == 1 ? 1 : panels_;
    if (!as_it_lies()) left_ = scratch<float>(block_rows_ * steps);
    if (!g.packed_b) right_ = scratch<float>(kept_ * panel);
    if (g.c != DType::f32)
      sums_ = scratch<float>(step_blocks_ == 1 ? block_rows_ * panel_columns : g.m * sums_ld());
  }

  void run() {
    for (int64_t col = 0; col < g_.n; col += panels_ * panel_columns) {
      first_ = col, end_ = std::min(col + panels_ * panel_columns, g_.n);
      for (int64_t p = 0; p < step_blocks_; ++p)
        for (int64_t row = 0; row < g_.m; row += block_rows_)
          run(row, g_.k * p / step_blocks_, g_.k * (p + 1) / step_blocks_);
    }
  }

 private:
  void run(int64_t row, int64_t step, int64_t step_end) {
    for (int64_t col = first_; col < end_; col += panel_columns) {
      const Block block{row,  std::min(block_rows_, g_.m - row),
                        col,  std::min(panel_columns, g_.n - col),
                        step, step_end - step};
      const float* right = panel(block);
      with_float(g_.c, [&]<class T>(T) {
        T* c = static_cast<T*>(with_.c) + block.row * g_.ldc + block.col;
        const Sums sums = sums_of(block, c);
        multiply_panel(block, right, sums);
        if (!std::is_same_v<T, float> && step_end == g_.k)
          for (int64_t i = 0; i < block.rows; ++i) copy(block.cols, sums.at + i * sums.ld, c + i * g_.ldc);
      });
    }
  }

  // Whether strips of the left factor are read where it is stored.
  bool as_it_lies() const { return a_.type == DType::f32 && a_.along; }

  // A panel of the right factor: as it was given, or packed now, or by the first block of rows.
  const float* panel(const Block& block) const {
    if (g_.packed_b) return given(block.col, block.step);
    float* at = place(block.col, block.steps);
    if (block.row == 0 || kept_ == 1)
      pack_panels(
          {.n = block.cols, .k = block.steps, .ldb = g_.ldb, .transpose_b = g_.transpose_b, .b = g_.b},
          b_.of(block.col, block.step), at);
    return at;
  }
  const float* given(int64_t col, int64_t step) const {
    return static_cast<const float*>(with_.b) + col * round_up(g_.k, packed_rows) + step * panel_columns;
  }
  float* place(int64_t col, int64_t steps) const {
    return right_ + (col - first_) / panel_columns % kept_ * panel_columns * round_up(steps, packed_rows);
  }

  // What the panel after this one is read from.
  Ahead after(const Block& block) const {
    const int64_t next = block.col + panel_columns, bytes = panel_columns * block.steps * 4;
    if (next >= end_) return {};
    if (g_.packed_b) return {given(next, block.step), bytes, 1, bytes};
    if (block.row > 0 && kept_ > 1) return {place(next, block.steps), bytes, 1, bytes};
    return ahead(b_, next, std::min(panel_columns, g_.n - next), block.step, block.steps);
  }

  // Where a block's sums are held, and what they begin from.
  Sums sums_of(const Block& block, float* c) const {
    if (block.step > 0) return {c, g_.ldc, c, g_.ldc};
    if (!g_.accumulate) return {c, g_.ldc, g_.bias ? with_.bias + block.col : nullptr, 0};
    add_bias(block, c, g_.ldc);
    return {c, g_.ldc, c, g_.ldc};
  }
  Sums sums_of(const Block& block, const bf16* c) const {
    const int64_t ld = step_blocks_ == 1 ? panel_columns : sums_ld();
    float* at = step_blocks_ == 1 ? sums_ : sums_ + block.row * ld + block.col - first_;
    if (block.step > 0) return {at, ld, at, ld};
    if (!g_.accumulate) return {at, ld, g_.bias ? with_.bias + block.col : nullptr, 0};
    for (int64_t i = 0; i < block.rows; ++i) copy(block.cols, c + i * g_.ldc, at + i * ld);
    add_bias(block, at, ld);
    return {at, ld, at, ld};
  }
  int64_t sums_ld() const { return panels_ * panel_columns; }
  void add_bias(const Block& block, float* to, int64_t ld) const {
    const auto sum = [](auto x, auto y) { return hn::Add(x, y); };
    for (int64_t i = 0; i < block.rows && g_.bias; ++i)
      map(block.cols, to + i * ld, sum, to + i * ld, with_.bias + block.col);
  }

  void multiply_panel(const Block& block, const float* right, const Sums& sums) {
    Meanwhile meanwhile;
    meanwhile.next = after(block);
    const int64_t n = (block.rows + strip_lines - 1) / strip_lines * ((block.steps + chunk - 1) / chunk);
    meanwhile.lines = (meanwhile.next.lines() + n - 1) / n;
    for (int64_t at = 0; at < block.cols;) {
      const auto pass = [&]<int n_vectors>() {
        multiply_pass<n_vectors>(block, at, right + at,
                                 {sums.at + at, sums.ld, sums.from ? sums.from + at : nullptr, sums.from_ld},
                                 meanwhile);
        at += n_vectors * lanes();
      };
      if (block.cols - at > (panel_vectors - 1) * lanes())
        pass.template operator()<panel_vectors>();
      else
        pass.template operator()<1>();
    }
  }

  // All strips of a block by the panel's columns from `at` on. The first pass of all packs the strips.
  template <int n_vectors>
  void multiply_pass(const Block& block, int64_t at, const float* right, const Sums& sums,
                     Meanwhile& meanwhile) {
    const bool pack = block.col == first_ && at == 0 && !as_it_lies();
    const int64_t width = n_vectors * lanes(), chunks = (block.steps + chunk - 1) / chunk;
    for (int64_t i = 0; i < block.rows; i += strip_lines) {
      if (pack && i % group_lines == 0) pack_left(block, i);
      const int64_t rows = std::min(strip_lines, block.rows - i), then = i + rows;
      meanwhile.sums = {sums.at + then * sums.ld, sums.ld * 4, std::min(strip_lines, block.rows - then),
                        width * 4};
      meanwhile.sum_lines = (meanwhile.sums.lines() + chunks - 1) / chunks;
      const Sums c{sums.at + i * sums.ld, sums.ld, sums.from ? sums.from + i * sums.from_ld : nullptr,
                   sums.from_ld};
      if (block.cols - at >= width)
        multiply_strip<n_vectors>(rows, block.steps, strip(block, i), right, c, meanwhile);
      else
        multiply_edge<n_vectors>(rows, block.cols - at, block.steps, strip(block, i), right, c, meanwhile);
    }
  }

  Strip strip(const Block& block, int64_t i) const {
    if (as_it_lies()) return {reinterpret_cast<const float*>(a_.of(block.row + i, block.step)), a_.ld, 1};
    return {left_ + i * block.steps, 1, strip_lines};
  }

  void pack_left(const Block& block, int64_t i) const {
    with_float(a_.type, [&]<class T>(T) {
      const T* at = reinterpret_cast<const T*>(a_.of(block.row + i, block.step));
      const int64_t lines = std::min(group_lines, block.rows - i);
      (a_.along ? pack_along<T> : pack_across<T>)(at, a_.ld, lines, block.steps, left_ + i * block.steps);
    });
  }

  const Gemm& g_;
  const GemmOperands& with_;
  const Factor a_, b_;
  int64_t step_blocks_, block_rows_;
  int64_t panels_, kept_;        // so many panels at a time; and packed
  int64_t first_ = 0, end_ = 0;  // columns of those
  float *left_ = nullptr, *right_ = nullptr, *sums_ = nullptr;
};

void multiply_by_panels(const Gemm& g, const GemmOperands& with) {
  const ScratchScope scope;
  PanelProduct(g, with).run();
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
