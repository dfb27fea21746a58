// The matrix products of attention: one head of a block of rows against the parts of its keys that tiles
// hold.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attention/gemm_blocks.hpp"
#include "codelets/attention/softmax_block.hpp"
#include "codelets/matmul/gemm.hpp"

namespace tessera {

// A matrix in row-major order, where it begins.
struct Strided {
  const void* data;
  int64_t ld;
  DType dtype;
};

inline Strided in_tile(const TileView& tile, int64_t row, int64_t col) {
  return {at(tile, row, col), tile.cols, tile.dtype};
}

// c[m, n] (+)= a[m, k] · b[n, k]ᵀ
inline void times_transposed(int64_t m, int64_t n, int64_t k, Strided a, Strided b, float* c, int64_t ldc) {
  gemm({.m = m,
        .n = n,
        .k = k,
        .lda = a.ld,
        .ldb = b.ld,
        .ldc = ldc,
        .transpose_b = true,
        .a = a.dtype,
        .b = b.dtype},
       {.a = a.data, .b = b.data, .c = c});
}

// c[m, n] (+)= a[m, k] · b[k, n]
inline void times(int64_t m, int64_t n, int64_t k, Strided a, Strided b, float* c, int64_t ldc,
                  bool accumulate) {
  gemm({.m = m,
        .n = n,
        .k = k,
        .lda = a.ld,
        .ldb = b.ld,
        .ldc = ldc,
        .accumulate = accumulate,
        .a = a.dtype,
        .b = b.dtype},
       {.a = a.data, .b = b.data, .c = c});
}

// c[m, n] += a[k, m]ᵀ · b[k, n]
inline void add_transposed_times(int64_t m, int64_t n, int64_t k, Strided a, Strided b, float* c,
                                 int64_t ldc) {
  gemm({.m = m,
        .n = n,
        .k = k,
        .lda = a.ld,
        .ldb = b.ld,
        .ldc = ldc,
        .transpose_a = true,
        .accumulate = true,
        .a = a.dtype,
        .b = b.dtype},
       {.a = a.data, .b = b.data, .c = c});
}

// Room for the scores of any block; their leading dimension leaves the last vector of a row room.
inline constexpr int64_t score_padding = 32;
inline int64_t score_ld(int64_t keys) { return (keys + 15) / 16 * 16 + 16; }
inline float* score_scratch() { return scratch<float>(max_block_rows * (max_block_keys + score_padding)); }

// The probabilities that replaced a block's scores, from column `col` on.
inline Strided probabilities(const ScoreBlock& block, const float* scores, int64_t col) {
  const int64_t size = static_cast<int64_t>(size_of(block.dtype));
  return {reinterpret_cast<const std::byte*>(scores) + col * size, block.ld * 4 / size, block.dtype};
}

}  // namespace tessera
