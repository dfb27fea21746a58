// The key/value cache on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "codelets/kv_cache/kv_cache_op.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {
namespace {

constexpr int64_t part_keys = 256;  // KEYS in kv_cache_gpu.cl

DeviceKernel kernel(std::string_view name, const TileView& qkv, const TileView& cache) {
  return {"kv_cache", name, {{"S", qkv.dtype}, {"T", cache.dtype}}};
}

}  // namespace

void kv_append_gpu(const TileArgs& args, DeviceQueue& queue) {
  const HeadLayout layout = args.attributes<KvAppend>().layout();
  const auto n = static_cast<size_t>(args.params[0]);
  const TileView &k = args[2 * n], &v = args[2 * n + 1];
  for (size_t i = 0; i < n; ++i) {
    const TileView &qkv = args[i], &slots = args[n + i];
    const int64_t elements = qkv.rows * k.cols;
    queue.launch(kernel("kv_append", qkv, k), for_each(elements), qkv, slots, k, v, elements,
                 static_cast<int>(k.cols), static_cast<int>(layout.head_dim),
                 static_cast<int>(layout.group() + 2), k.row0, k.rows);
  }
}

void paged_attention_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<PagedAttention>();
  const HeadLayout layout = op.layout();
  const auto n = static_cast<size_t>(args.params[0]);
  const TileView &qkv = args[0], &table = args[1], &sequences = args[2], &positions = args[3],
                 &o = args[args.count() - 1];
  const auto k = args.tiles.subspan(4, n), v = args.tiles.subspan(4 + n, n);
  const int64_t heads = o.cols / layout.head_dim, most_keys = table.cols * op.options.block_size;
  const int64_t cache_rows = k.back().row0 + k.back().rows;
  const int64_t parts = (most_keys + part_keys - 1) / part_keys;  // of each tile of the cache
  const int64_t all = o.rows * heads * static_cast<int64_t>(n) * parts;
  void *largest = queue.scratch<float>(all), *sums = queue.scratch<float>(all),
       *acc = queue.scratch<float>(all * layout.head_dim);
  void* bad_position =
      queue.fault(fmt::format("paged_attention: position {{value}} of sequence {{row}} is beyond the block "
                              "table of {} × {} blocks of {}",
                              table.rows, table.cols, op.options.block_size));
  void* bad_block = queue.fault(fmt::format(
      "paged_attention: a block of sequence {{row}} is number {{value}}, but the cache has {} blocks",
      cache_rows / op.options.block_size));
  const auto as_int = [](int64_t x) { return static_cast<int>(x); };
  for (size_t t = 0; t < n; ++t)
    queue.launch(kernel("paged_part", qkv, k[t]), {.groups = {parts, o.rows, heads}, .items = {64, 1}}, qkv,
                 table, sequences, positions, k[t], v[t], largest, sums, acc, as_int(layout.head_dim),
                 as_int(layout.group()), as_int(table.rows), as_int(table.cols),
                 as_int(op.options.block_size), k[t].row0, k[t].rows, cache_rows,
                 as_int(static_cast<int64_t>(t) * parts), as_int(static_cast<int64_t>(n) * parts),
                 1 / std::sqrt(static_cast<float>(layout.head_dim)), bad_position, bad_block);
  queue.launch(kernel("paged_sum", qkv, k[0]), {.groups = {o.rows, heads, 1}, .items = {64, 1}}, sequences,
               positions, largest, sums, acc, o, as_int(layout.head_dim), as_int(table.rows), most_keys,
               static_cast<int>(n), as_int(parts));
}

}  // namespace tessera
