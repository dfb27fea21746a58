// Which keys each row of attention sees, and where they lie among tiles of consecutive rows.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "codelets/attention/attention_op.hpp"

namespace tessera {

// The keys [first[r], last[r]) that each of some consecutive rows attends to, as rows of the whole tensor.
struct KeyRanges {
  int64_t row0 = 0;
  std::vector<int32_t> first, last;

  int32_t first_of(int64_t row) const { return first[static_cast<size_t>(row - row0)]; }
  int32_t last_of(int64_t row) const { return last[static_cast<size_t>(row - row0)]; }
};

// For the first `n` of some consecutive tiles of `starts`; throws Error where a sequence is longer than seq
// allows.
KeyRanges key_ranges(std::span<const TileView> starts, int64_t n, const AttentionOptions& options);

// Calls f(tile, key, keys) for the parts of [key, key + keys) in each tile, in order; `key` is a row of the
// whole tensor.
template <class F>
void each_part(std::span<const TileView> tiles, int64_t key, int64_t keys, F f) {
  for (const TileView& tile : tiles) {
    const int64_t begin = std::max(key, tile.row0), end = std::min(key + keys, tile.row0 + tile.rows);
    if (begin < end) f(tile, begin, end - begin);
  }
}

// The element (row, col) of the whole tensor, in columns of the tile.
inline const void* at(const TileView& tile, int64_t row, int64_t col) {
  return static_cast<const std::byte*>(tile.data) +
         ((row - tile.row0) * tile.cols + col) * static_cast<int64_t>(size_of(tile.dtype));
}
inline void* at_mutable(const TileView& tile, int64_t row, int64_t col) {
  return const_cast<void*>(at(tile, row, col));
}

inline void zero_row(const TileView& tile, int64_t row) {
  std::memset(at_mutable(tile, row, 0), 0, static_cast<size_t>(tile.cols) * size_of(tile.dtype));
}

}  // namespace tessera
