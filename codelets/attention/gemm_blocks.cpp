// Cutting attention's rows into blocks.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/gemm_blocks.hpp"

#include <algorithm>

namespace tessera {
namespace {

constexpr int64_t row_granule = 16;
constexpr int64_t joining_gain = 1024;  // scores that may be wasted to save a block

int64_t round_up(int64_t n, int64_t granule) { return (n + granule - 1) / granule * granule; }

int64_t key_granule(int64_t keys) { return keys <= 128 ? 16 : keys <= 512 ? 32 : 64; }

const TileView& tile_of(std::span<const TileView> tiles, int64_t row) {
  size_t t = 0;
  while (row >= tiles[t].row0 + tiles[t].rows) ++t;
  return tiles[t];
}

// Widens the rows and keys of a block to sizes that recur, where the tiles have room.
void round_sizes(RowBlock& block, const TileView& rows, std::span<const TileView> tiles) {
  block.rows = std::min(round_up(block.rows, row_granule), rows.rows);
  block.row = std::min(block.row, rows.row0 + rows.rows - block.rows);

  const int64_t end = block.key + block.keys;
  const TileView &first = tile_of(tiles, block.key), &last = tile_of(tiles, end - 1);
  const int64_t first_end = first.row0 + first.rows;
  if (&first == &last) {
    block.keys = std::min(round_up(block.keys, key_granule(block.keys)), first.rows);
    block.key = std::min(block.key, first_end - block.keys);
  } else {
    const int64_t head = first_end - block.key, tail = end - last.row0;
    const int64_t more_head = std::min(round_up(head, key_granule(head)), first.rows) - head;
    const int64_t more_tail = std::min(round_up(tail, key_granule(tail)), last.rows) - tail;
    block.key -= more_head;
    block.keys += more_head + more_tail;
  }
}

// Joins the last two blocks where that wastes little: short sequences share a block.
void join_last(std::vector<RowBlock>& blocks) {
  if (blocks.size() < 2) return;
  RowBlock& a = blocks[blocks.size() - 2];
  const RowBlock& b = blocks.back();
  const int64_t rows = b.live_end - a.row;
  const int64_t key = std::min(a.key, b.key), keys = std::max(a.key + a.keys, b.key + b.keys) - key;
  const auto cost = [](int64_t m, int64_t n) {
    return round_up(m, row_granule) * round_up(n, key_granule(n));
  };
  if (rows > max_block_rows || cost(rows, keys) > cost(a.rows, a.keys) + cost(b.rows, b.keys) + joining_gain)
    return;
  a.rows = rows;
  a.live_end = b.live_end;
  a.key = key;
  a.keys = keys;
  blocks.pop_back();
}

}  // namespace

std::vector<RowBlock> row_blocks(const TileView& rows, const KeyRanges& ranges,
                                 std::span<const TileView> tiles, int64_t key_begin, int64_t key_end) {
  std::vector<RowBlock> blocks;
  int32_t start = -1;  // of the last block's last sequence
  for (int64_t row = rows.row0; row < rows.row0 + rows.rows; ++row) {
    const int64_t first = std::max<int64_t>(ranges.first_of(row), key_begin);
    const int64_t last = std::min<int64_t>(ranges.last_of(row), key_end);
    if (ranges.first_of(row) < 0 || first >= last) continue;
    if (!blocks.empty() && start == ranges.first_of(row) && blocks.back().live_end == row &&
        blocks.back().rows < max_block_rows) {
      RowBlock& block = blocks.back();
      block.live_end = row + 1;
      block.rows += 1;
      block.keys = std::max(block.keys, last - block.key);
    } else {
      join_last(blocks);
      blocks.push_back({.row = row,
                        .rows = 1,
                        .live_begin = row,
                        .live_end = row + 1,
                        .key = first,
                        .keys = last - first});
      start = ranges.first_of(row);
    }
  }
  join_last(blocks);
  for (RowBlock& block : blocks) {
    round_sizes(block, rows, tiles);
    for (int64_t r = 0; r < block.rows; ++r) {
      const int64_t row = block.row + r;
      const bool live = row >= block.live_begin && row < block.live_end && ranges.first_of(row) >= 0;
      block.first[static_cast<size_t>(r)] = live ? ranges.first_of(row) : 0;
      block.last[static_cast<size_t>(r)] =
          live ? std::min(ranges.last_of(row), static_cast<int32_t>(key_end)) : 0;
    }
  }
  return blocks;
}

}  // namespace tessera
