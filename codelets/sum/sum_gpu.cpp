// sum on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

namespace tessera {
namespace {

constexpr int group_cols = 32, group_strands = 8;

DeviceKernel kernel(std::string_view name, DType from, DType to) {
  return {"sum", name, {{"S", from}, {"T", to}, {"COLS", group_cols}, {"STRANDS", group_strands}}};
}

}  // namespace

void sum_rows_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t rows = args[0].rows, cols = args[0].cols;
  const Grid grid{.groups = {(cols + group_cols - 1) / group_cols, 1, 1},
                  .items = {group_cols, group_strands}};
  queue.launch(kernel("sum_rows", args[0].dtype, DType::f32), grid, args[0], args[1], rows, cols,
               static_cast<int32_t>(args.params[0]));
}

void accumulate_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[1].size();
  queue.launch(kernel("accumulate", DType::f32, DType::f32), for_each(n), args[0], args[1], n);
}

void spread_rows_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t cols = args[1].cols;
  queue.launch(kernel("spread_rows", args[0].dtype, args[1].dtype), for_each_in_rows(args[1].rows, cols),
               args[0], args[1], cols);
}

}  // namespace tessera
