// sum on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

namespace tessera {
namespace {

// A group's items: across columns, and strands of its rows. On a GPU there are groups enough for long sums,
// and strands enough that none of the last sums is long.
struct Group {
  int cols, strands;
};
constexpr int group_rows = 128;

Group group_for(const DeviceQueue& queue, int64_t rows, bool last) {
  if (queue.traits().is_cpu) return {4, 8};
  return last && rows <= 4 * group_rows ? Group{4, 64} : Group{32, 8};
}
int wide(const DeviceQueue& queue) { return queue.traits().is_cpu ? 16 : 8; }

DeviceKernel kernel(std::string_view name, DType from, DType to) {
  return {"sum", name, {{"S", from}, {"T", to}, {"COLS", 1}, {"STRANDS", 1}}};
}

void launch_sums(DeviceQueue& queue, DType from, const void* x, void* sums, int64_t rows, int64_t cols,
                 int64_t rows_each, bool overwrite) {
  const Group group = group_for(queue, rows, rows == rows_each);
  const int each = group.cols * wide(queue);
  queue.launch(
      {"sum", "sum_rows", {{"S", from}, {"T", DType::f32}, {"COLS", group.cols}, {"STRANDS", group.strands}}},
      {.groups = {(cols + each - 1) / each, (rows + rows_each - 1) / rows_each, 1},
       .items = {group.cols, group.strands}},
      x, sums, rows, cols, rows_each, static_cast<int32_t>(overwrite));
}

}  // namespace

// Over chunks of rows first, where there are several.
void sum_rows_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView &x = args[0], &sum = args[1];
  const bool overwrite = args.params[0];
  const int64_t chunks = (x.rows + group_rows - 1) / group_rows;
  if (chunks < (queue.traits().is_cpu ? 2 : 5))
    return launch_sums(queue, x.dtype, x.data, sum.data, x.rows, x.cols, x.rows, overwrite);
  void* parts = queue.scratch<float>(chunks * x.cols);
  launch_sums(queue, x.dtype, x.data, parts, x.rows, x.cols, group_rows, true);
  launch_sums(queue, DType::f32, parts, sum.data, chunks, x.cols, chunks, overwrite);
}

void accumulate_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[1].size();
  queue.launch(kernel("accumulate", DType::f32, DType::f32), for_each_wide(n), args[0], args[1], n);
}

void spread_rows_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t cols = args[1].cols;
  queue.launch(kernel("spread_rows", args[0].dtype, args[1].dtype), for_each_wide_in_rows(args[1].rows, cols),
               args[0], args[1], cols);
}

}  // namespace tessera
