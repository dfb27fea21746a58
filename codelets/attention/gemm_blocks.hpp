// How attention by gemm cuts rows into blocks, each with the keys it needs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "codelets/attention/key_ranges.hpp"

namespace tessera {

inline constexpr int64_t max_block_rows = 64;

// Rows that are worked on together. [row, row + rows) goes into the matrix products; live_begin … live_end is
// the part whose results count. [key, key + keys) holds all their keys. All are rows of the whole tensor.
struct RowBlock {
  int64_t row, rows, live_begin, live_end, key, keys;
  std::array<int32_t, max_block_rows> first = {},
                                      last = {};  // the keys of each row; none for a row that does not count
};

// Cuts a tile's rows into blocks: those with keys in [key_begin, key_end), with sizes rounded up to a few
// values, so that few shapes of products arise. `tiles` are the consecutive tiles where keys live.
std::vector<RowBlock> row_blocks(const TileView& rows, const KeyRanges& ranges,
                                 std::span<const TileView> tiles, int64_t key_begin, int64_t key_end);

}  // namespace tessera
