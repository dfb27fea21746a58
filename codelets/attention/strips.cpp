// Cutting attention's rows into blocks of strips.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/strips.hpp"

#include <algorithm>

namespace tessera {
namespace {

void widen(KeySpan& span, int32_t first, int32_t last) {
  span = span.begin < span.end ? KeySpan{std::min(span.begin, first), std::max(span.end, last)}
                               : KeySpan{first, last};
}

}  // namespace

PackedKeys packed_keys(const TileView& own, const KeyRanges& ranges) {
  KeySpan all;
  for (int64_t row = own.row0; row < own.row0 + own.rows; ++row)
    if (ranges.first_of(row) >= 0) widen(all, ranges.first_of(row), ranges.last_of(row));
  if (all.begin == all.end) return {own.row0, 0};
  const int64_t before = std::max<int64_t>(0, own.row0 - all.begin);
  PackedKeys packed{own.row0 - (before + panel_keys - 1) / panel_keys * panel_keys, 0};
  packed.n_panels = (all.end - packed.begin + panel_keys - 1) / panel_keys;
  return packed;
}

std::vector<StripBlock> strip_blocks(const TileView& rows, const KeyRanges& ranges, const PackedKeys& packed,
                                     int64_t key_begin, int64_t key_end) {
  std::vector<StripBlock> blocks;
  for (int64_t done = 0; done < rows.rows; done += strip_block_rows) {
    StripBlock block{.row = rows.row0 + done, .rows = std::min(rows.rows - done, strip_block_rows)};
    for (int64_t r = 0; r < block.rows; ++r) {
      const int64_t first = std::max<int64_t>(ranges.first_of(block.row + r), key_begin);
      const int64_t last = std::min<int64_t>(ranges.last_of(block.row + r), key_end);
      if (ranges.first_of(block.row + r) < 0 || first >= last) continue;
      const auto at = static_cast<size_t>(r);
      // Dropout counts from the sequence's first key, so `first` is not cut to key_begin.
      block.first[at] = static_cast<int32_t>(ranges.first_of(block.row + r) - packed.begin);
      block.last[at] = static_cast<int32_t>(last - packed.begin);
      const auto begin = static_cast<int32_t>(first - packed.begin);
      widen(block.strips[at / block_strip_rows], begin, block.last[at]);
      widen(block.keys, begin, block.last[at]);
    }
    if (block.keys.begin < block.keys.end) blocks.push_back(block);
  }
  return blocks;
}

}  // namespace tessera
