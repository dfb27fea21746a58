// Which keys each row of attention sees.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/key_ranges.hpp"

#include "runtime/core/error.hpp"

namespace tessera {

KeyRanges key_ranges(std::span<const TileView> starts, int64_t n, const AttentionOptions& options) {
  KeyRanges ranges{starts[0].row0, {}, {}};
  for (int64_t t = 0; t < n; ++t) {
    const TileView& tile = starts[static_cast<size_t>(t)];
    ranges.first.insert(ranges.first.end(), tile.as<int32_t>(), tile.as<int32_t>() + tile.rows);
  }
  ranges.last.resize(ranges.first.size());
  int64_t end = 0;
  int32_t start = -1;  // of the sequence of the row below
  for (size_t t = starts.size(); t-- > 0;)
    for (int64_t r = starts[t].rows; r-- > 0;) {
      const int64_t row = starts[t].row0 + r;
      if (const int32_t s = starts[t].as<const int32_t>()[r]; s != start || options.causal)
        end = row + 1, start = s;
      const auto at = static_cast<size_t>(row - ranges.row0);
      if (at < ranges.last.size()) ranges.last[at] = start < 0 ? -1 : static_cast<int32_t>(end);
      const bool cut_off =
          options.aligned ? start / options.seq != row / options.seq : row - start >= options.seq;
      if (start >= 0 && (start > row || cut_off))
        throw error(
            "attention: row {} is in the sequence that starts at row {}, which seq = {}{} does not allow",
            row, start, options.seq, options.aligned ? ", aligned" : "");
    }
  return ranges;
}

}  // namespace tessera
