// The cases that kv_append and paged_attention are tested on.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "codelets/kv_cache/kv_cache_op.hpp"

namespace tessera {
namespace {

// In which qkv and the cache are stored.
struct Types {
  DType qkv, cache;
};

Case append_case(Types t, std::string name, const PagedAttentionOptions& options, const Dim& cache_rows,
                 const std::vector<double>& slots, std::string tiling) {
  auto op = std::make_shared<KvAppend>(options);
  const Dim rows("rows", static_cast<int64_t>(slots.size()));
  const TensorType cache{{cache_rows, op->layout().cache_dim()}, t.cache};
  return {.name = std::move(name),
          .op = op,
          .inputs = {{cache},
                     {cache},
                     {{{rows, op->layout().qkv_dim()}, t.qkv}},
                     {{{rows}, DType::i32}, 0, 0, slots}},
          .tiling = std::move(tiling),
          .check_gradient = false};
}

// A sequence of a paged case: its rows are at the last `rows` of `length` positions.
struct Generated {
  int sequence, rows, length;
};

struct Paged {
  std::string name;
  PagedAttentionOptions options;
  int64_t sequences, max_blocks;
  std::vector<Generated> rows;  // sequence -1: padding
  std::string tiling;
};

// Blocks are dealt out so that neighbours in a sequence are never neighbours in the cache.
Case paged_case(Types t, const Paged& paged) {
  auto op = std::make_shared<PagedAttention>(paged.options);
  const int64_t blocks = paged.sequences * paged.max_blocks;
  std::vector<double> table, sequence, positions;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t column = b % paged.max_blocks, row = b / paged.max_blocks;
    table.push_back(static_cast<double>(column * paged.sequences + (paged.sequences - 1 - row)));
  }
  for (const Generated& part : paged.rows)
    for (int r = 0; r < part.rows; ++r) {
      sequence.push_back(part.sequence);
      positions.push_back(part.length - part.rows + r);
    }
  const Dim rows("rows", static_cast<int64_t>(sequence.size()));
  const TensorType cache{{Dim("cache", blocks * paged.options.block_size), op->layout().cache_dim()},
                         t.cache};
  return {.name = paged.name,
          .op = op,
          .inputs = {{{{rows, op->layout().qkv_dim()}, t.qkv}},
                     {cache},
                     {cache},
                     {{{paged.sequences, paged.max_blocks}, DType::i32}, 0, 0, table},
                     {{{rows}, DType::i32}, 0, 0, sequence},
                     {{{rows}, DType::i32}, 0, 0, positions}},
          .tiling = paged.tiling,
          .sum_length = paged.max_blocks * paged.options.block_size,
          .check_gradient = false};
}

}  // namespace

std::vector<Case> kv_cache_cases(DType storage) {
  const Types t{storage, storage};
  const PagedAttentionOptions plain{.heads = 2, .head_dim = 16, .block_size = 4};
  const PagedAttentionOptions grouped{.heads = 6, .kv_heads = 3, .head_dim = 20, .block_size = 5};
  std::vector<Case> cases = {
      append_case(t, "append", plain, 20, {3, 17, 4}, ""),
      append_case(t, "append nothing", plain, 8, {-1, -1}, ""),
      append_case(t, "append, cut", grouped, {"cache", 40}, {30, 31, -1, 0, 39, 12, 13, -1, 7},
                  "rows=4x2,1 heads=2,1 cache=13x2|14"),
      paged_case(t, {"decode", plain, 3, 4, {{0, 1, 9}, {1, 1, 1}, {2, 1, 16}}, ""}),
      paged_case(t, {"decode with padding, cut",
                     grouped,
                     4,
                     5,
                     {{2, 1, 25}, {-1, 2, 2}, {0, 1, 7}, {3, 1, 13}},
                     "rows=2x2,1 heads=2,1 cache=33x3|1"}),
      paged_case(t, {"decode, one key for all heads",
                     {.heads = 8, .kv_heads = 1, .head_dim = 64},
                     2,
                     6,
                     {{0, 1, 70}, {1, 1, 96}},
                     ""}),
      paged_case(
          t, {"decode, many keys", {.heads = 2, .head_dim = 64}, 1, 90, {{0, 1, 1433}}, "cache=1000,440"}),
      paged_case(t, {"prefill", plain, 2, 10, {{0, 40, 40}, {1, 21, 21}}, ""}),
      paged_case(t, {"prefill, cut",
                     grouped,
                     3,
                     9,
                     {{1, 30, 44}, {-1, 3, 3}, {0, 1, 17}, {2, 20, 20}},
                     "rows=25x2|4 heads=1x3 cache=35x3|30"}),
      paged_case(t, {"prefill in parts, many keys",
                     {.heads = 2, .kv_heads = 1, .head_dim = 32},
                     1,
                     80,
                     {{0, 100, 1250}},
                     ""}),
  };
  for (DType cache : {DType::f32, DType::bf16, DType::f16}) {
    if (cache == storage) continue;
    const Types mixed{storage, cache};
    cases.push_back(
        append_case(mixed, fmt::format("append to {}", name_of(cache)), plain, 20, {3, 17, 4}, ""));
    cases.push_back(paged_case(mixed, {fmt::format("decode from {}, cut", name_of(cache)),
                                       grouped,
                                       4,
                                       5,
                                       {{2, 1, 25}, {0, 1, 7}, {3, 1, 13}},
                                       "rows=2,1 heads=2,1 cache=33x3|1"}));
    cases.push_back(paged_case(
        mixed,
        {fmt::format("prefill from {}", name_of(cache)), plain, 2, 10, {{0, 40, 40}, {1, 21, 21}}, ""}));
  }
  return cases;
}

}  // namespace tessera
