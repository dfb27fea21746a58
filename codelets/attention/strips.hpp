// How attention by strips cuts rows: blocks of strips of 8 rows, each strip with the keys that its rows see.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "codelets/attention/key_ranges.hpp"
#include "codelets/attention/softmax_block.hpp"

namespace tessera {

inline constexpr int64_t strip_block_rows = 64;
inline constexpr int64_t panel_keys = 64;  // keys are packed in panels

// Rows [row, row + rows) of the whole tensor. Keys are counted from the first packed key.
struct StripBlock {
  int64_t row = 0, rows = 0;
  KeySpan keys = {};  // of all rows
  std::array<KeySpan, strip_block_rows / block_strip_rows> strips = {};
  std::array<int32_t, strip_block_rows> first = {}, last = {};  // of each row; equal for a padding row
};

// The rows whose keys and values are packed: from `begin`, which is whole panels before the own tile, or its
// first row.
struct PackedKeys {
  int64_t begin = 0, n_panels = 0;

  int64_t rows() const { return n_panels * panel_keys; }
};
PackedKeys packed_keys(const TileView& own, const KeyRanges& ranges);

// The blocks of a tile's rows that see keys in [key_begin, key_end), rows of the whole tensor.
std::vector<StripBlock> strip_blocks(const TileView& rows, const KeyRanges& ranges, const PackedKeys& packed,
                                     int64_t key_begin, int64_t key_end);

}  // namespace tessera
