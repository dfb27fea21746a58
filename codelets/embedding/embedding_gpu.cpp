// embedding on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "runtime/device/queue.hpp"

namespace tessera {
namespace {

constexpr int width = 256;  // items of the group that checks

DeviceKernel kernel(std::string_view name, DType from, DType to) {
  return {"embedding", name, {{"S", from}, {"T", to}, {"WIDTH", width}}};
}

int32_t int32(int64_t n) { return static_cast<int32_t>(n); }

}  // namespace

// Tiles and params as the CPU's.
void embedding_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView &ids = args[0], &y = args[1];
  void* fault = queue.fault(fmt::format(
      "embedding: the id of row {{row}} is {{value}}, but the table has {} rows", args.params[0]));
  queue.launch(kernel("check_ids", y.dtype, y.dtype), {.groups = {1, 1, 1}, .items = {width, 1}}, ids, fault,
               int32(y.rows), int32(ids.row0), int32(args.params[0]));
  for (size_t k = 2; k < args.count(); ++k) {
    const TileView& table = args[k];
    queue.launch(kernel("embedding", table.dtype, y.dtype), for_each_wide_in_rows(y.rows, y.cols), ids, y,
                 table, y.cols, int32(table.row0), int32(table.rows), static_cast<int32_t>(k == 2));
  }
}

void embedding_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView& sum = args[0];
  constexpr auto word = static_cast<int64_t>(sizeof(int32_t));
  if (args.params[0]) queue.fill(sum.data, sum.size() * static_cast<int64_t>(sizeof(float)), 0);
  int64_t most_rows = 0;
  for (size_t k = 2; k < args.count(); k += 2) most_rows = std::max(most_rows, args[k].rows);
  void *counts = queue.scratch<int32_t>(sum.rows), *places = queue.scratch<int32_t>(sum.rows),
       *placed = queue.scratch<int32_t>(1), *slots = queue.scratch<int32_t>(most_rows),
       *listed = queue.scratch<int32_t>(most_rows), *ordered = queue.scratch<int32_t>(most_rows),
       *firsts = queue.scratch<int32_t>(most_rows);
  const int32_t first_id = int32(sum.row0), n_ids = int32(sum.rows);
  for (size_t k = 1; k < args.count(); k += 2) {
    const TileView &ids = args[k], &d = args[k + 1];
    const Grid rows = for_each(d.rows);
    const auto named = [&](std::string_view name) { return kernel(name, d.dtype, d.dtype); };
    queue.fill(counts, sum.rows * word, 0);
    queue.fill(placed, word, 0);
    queue.launch(named("count_rows"), rows, ids, counts, slots, d.rows, first_id, n_ids);
    queue.launch(named("place_ids"), rows, ids, counts, slots, places, placed, d.rows, first_id, n_ids);
    queue.launch(named("list_rows"), rows, ids, slots, places, listed, d.rows, first_id, n_ids);
    queue.launch(named("order_rows"), rows, ids, counts, places, listed, ordered, firsts, d.rows, first_id,
                 n_ids);
    queue.launch(named("embedding_backward"), for_each_wide_in_rows(d.rows, d.cols), sum, ids, counts, places,
                 ordered, firsts, d, d.cols, first_id, n_ids);
  }
}

}  // namespace tessera
