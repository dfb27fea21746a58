// Laying out tiles of variables, and taking that back.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/packed_layout.hpp"

#include <cstring>

#include "codelets/matmul/few_rows_packed.hpp"

namespace tessera {
namespace {

template <bool transposed>
Gemm product_with(DType type, int64_t rows, int64_t cols) {
  return {.n = transposed ? rows : cols,
          .k = transposed ? cols : rows,
          .ldb = cols,
          .transpose_b = transposed,
          .a = type,
          .b = type};
}

template <bool transposed>
void arrange(DType type, int64_t rows, int64_t cols, const void* by_rows, void* tile) {
  pack_right(product_with<transposed>(type, rows, cols), by_rows, tile);
}

// Element (l, c) of op(B) is one of word l / in_word of column c of a panel.
template <bool transposed>
void restore(DType type, int64_t rows, int64_t cols, const void* tile, void* by_rows) {
  const Gemm g = product_with<transposed>(type, rows, cols);
  const auto size = static_cast<int64_t>(size_of(type)),
             in_word = static_cast<int64_t>(sizeof(uint32_t)) / size;
  for (int64_t c = 0; c < g.n; ++c)
    for (int64_t l = 0; l < g.k; ++l) {
      const int64_t word =
          (c / packed_columns * (g.k / in_word) + l / in_word) * packed_columns + c % packed_columns;
      std::memcpy(static_cast<std::byte*>(by_rows) + (transposed ? c * cols + l : l * cols + c) * size,
                  static_cast<const std::byte*>(tile) + (word * in_word + l % in_word) * size,
                  static_cast<size_t>(size));
    }
}

constexpr TileLayout packed{"packed", arrange<false>, restore<false>},
    packed_transposed{"packed, transposed", arrange<true>, restore<true>};

}  // namespace

const TileLayout* packed_layout(DType type, int64_t tile_rows, int64_t tile_cols, bool transposed) {
  if ((type != DType::f32 && type != DType::bf16) || !has_packed_rows(type)) return nullptr;
  const bool whole =
      packed_size(transposed ? product_with<true>(type, tile_rows, tile_cols)
                             : product_with<false>(type, tile_rows, tile_cols)) == tile_rows * tile_cols;
  if (!whole) return nullptr;
  return transposed ? &packed_transposed : &packed;
}

}  // namespace tessera
