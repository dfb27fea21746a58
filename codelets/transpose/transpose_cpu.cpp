// transpose on the CPU: small squares are turned in registers, in blocks that fit the first-level cache.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/transpose/transpose_cpu.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <class T>
constexpr int64_t square = 1;

template <class T>
HWY_INLINE void turn(const T* src, int64_t, T* dst, int64_t) {
  *dst = *src;
}

#else

// As many rows and columns as a vector of 16 bytes has elements: 4 × 4 or 8 × 8.
template <class T>
constexpr int64_t square = 16 / static_cast<int64_t>(sizeof(T));

// dst[c, r] = src[r, c] for one square. Each pass interleaves row i with row i + n/2; log2(n) passes
// transpose.
template <class T>
HWY_INLINE void turn(const T* src, int64_t src_stride, T* dst, int64_t dst_stride) {
  constexpr int64_t n = square<T>;
  const hn::FixedTag<T, n> d;
  hn::Vec<decltype(d)> rows[n], next[n];  // unrolled, so that they stay in registers
  HWY_UNROLL(8)
  for (int64_t i = 0; i < n; ++i) rows[i] = hn::LoadU(d, src + i * src_stride);
  HWY_UNROLL(3)
  for (int64_t pass = 1; pass < n; pass *= 2) {
    HWY_UNROLL(4)
    for (int64_t i = 0; i < n / 2; ++i) {
      next[2 * i] = hn::InterleaveLower(d, rows[i], rows[i + n / 2]);
      next[2 * i + 1] = hn::InterleaveUpper(d, rows[i], rows[i + n / 2]);
    }
    HWY_UNROLL(8)
    for (int64_t i = 0; i < n; ++i) rows[i] = next[i];
  }
  HWY_UNROLL(8)
  for (int64_t i = 0; i < n; ++i) hn::StoreU(rows[i], d, dst + i * dst_stride);
}

#endif

// dst[c, r] = src[r, c] for r0 ≤ r < r1, c0 ≤ c < c1
template <class T>
HWY_INLINE void transpose_block(const T* src, int64_t cols, T* dst, int64_t rows, int64_t r0, int64_t r1,
                                int64_t c0, int64_t c1) {
  constexpr int64_t n = square<T>;
  int64_t r = r0;
  for (; r + n <= r1; r += n) {
    int64_t c = c0;
    for (; c + n <= c1; c += n) turn(src + r * cols + c, cols, dst + c * rows + r, rows);
    for (; c < c1; ++c)
      for (int64_t i = r; i < r + n; ++i) dst[c * rows + i] = src[i * cols + c];
  }
  for (; r < r1; ++r)
    for (int64_t c = c0; c < c1; ++c) dst[c * rows + r] = src[r * cols + c];
}

template <class T>
HWY_INLINE void transpose_tile(const TileView& x, const TileView& y) {
  constexpr int64_t block = 128 / static_cast<int64_t>(sizeof(T));  // two cache lines of every row
  for (int64_t r = 0; r < x.rows; r += block)
    for (int64_t c = 0; c < x.cols; c += block)
      transpose_block(x.as<const T>(), x.cols, y.as<T>(), x.rows, r, std::min(r + block, x.rows), c,
                      std::min(c + block, x.cols));
}

// tiles: x [r, c], y [c, r]; values are moved and not looked at
void transpose(const TileArgs& args) {
  if (size_of(args[0].dtype) == 4) {
    transpose_tile<uint32_t>(args[0], args[1]);
  } else {
    transpose_tile<uint16_t>(args[0], args[1]);
  }
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(transpose);
void transpose_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(transpose)(args); }
}  // namespace tessera
#endif
