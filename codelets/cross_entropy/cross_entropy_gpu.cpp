// cross_entropy on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "codelets/cross_entropy/row_stats.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {

void accumulate_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

constexpr int width = 256;  // items of a group
constexpr Grid one_group{.groups = {1, 1, 1}, .items = {width, 1}}, one_item{.items = {1, 1}};

int items_of_row(const DeviceQueue& queue) { return queue.traits().is_cpu ? 1 : width; }

DeviceKernel kernel(const DeviceQueue& queue, const CrossEntropyOp& op, std::string_view name,
                    DType type = DType::f32) {
  return {"cross_entropy",
          name,
          {{"T", type},
           {"WIDTH", width},
           {"ITEM_COUNT", items_of_row(queue)},
           {"SMOOTHED", op.options.label_smoothing > 0},
           {"FROM_LOSS", op.from_loss},
           {"FROM_LSE", op.from_lse}}};
}

int32_t int32(int64_t n) { return static_cast<int32_t>(n); }

float smoothing_of(const CrossEntropyOp& op) { return static_cast<float>(op.options.label_smoothing); }

// Into memory of its own, in the order given.
void merge(std::span<const TileView> parts, void* into, const CrossEntropyOp& op, DeviceQueue& queue) {
  const int64_t rows = parts[0].rows, bytes = rows * static_cast<int64_t>(sizeof(RowStats));
  queue.copy({into, 0, bytes}, {parts[0].data, 0, bytes}, 1, bytes);
  for (const TileView& part : parts.subspan(1))
    queue.launch(kernel(queue, op, "merge_stats"), for_each(rows), into, part, rows);
}

}  // namespace

void cross_entropy_stats_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView& x = args[0];
  queue.launch(kernel(queue, args.attributes<CrossEntropyOp>(), "row_stats", x.dtype),
               {.groups = {x.rows, 1, 1}, .items = {items_of_row(queue), 1}}, x, args[1], args[2],
               int32(x.cols), int32(x.col0));
}

void cross_entropy_merge_gpu(const TileArgs& args, DeviceQueue& queue) {
  const size_t last = args.count() - 1;
  merge(args.tiles.first(last), args[last].data, args.attributes<CrossEntropyOp>(), queue);
}

void cross_entropy_finish_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<CrossEntropyOp>();
  const int64_t rows = args[0].rows;
  void* stats = args[3].data;
  if (args.count() > 4) {
    stats = queue.scratch<RowStats>(rows);
    merge(args.tiles.subspan(3), stats, op, queue);
  }
  queue.launch(kernel(queue, op, "row_losses"), one_group, args[0], stats, args[1], args[2], int32(rows),
               op.options.ignore_index, smoothing_of(op), static_cast<float>(args.params[0]));
}

void cross_entropy_count_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<CrossEntropyOp>();
  const size_t last = args.count() - 1;
  void* fault = queue.fault(
      fmt::format("cross_entropy: the label of row {{row}} is {{value}}, not in [0, {}); rows to be ignored "
                  "have the label {}",
                  args.params[0], op.options.ignore_index));
  for (size_t k = 0; k < last; ++k)
    queue.launch(kernel(queue, op, "count_labels"), one_group, args[k], args[last], fault,
                 int32(args[k].rows), int32(args[k].row0), int32(args.params[0]), op.options.ignore_index,
                 static_cast<int32_t>(k == 0));
}

void cross_entropy_total_gpu(const TileArgs& args, DeviceQueue& queue) {
  const size_t last = args.count() - 1;
  queue.copy({args[last].data, 0, sizeof(float)}, {args[0].data, 0, sizeof(float)}, 1, sizeof(float));
  for (size_t k = 1; k < last; ++k) {
    const std::array<TileView, 2> tiles{args[k], args[last]};
    accumulate_gpu({.tiles = tiles}, queue);
  }
}

void cross_entropy_mean_gpu(const TileArgs& args, DeviceQueue& queue) {
  queue.launch(kernel(queue, args.attributes<CrossEntropyOp>(), "mean_loss"), one_item, args[0], args[1],
               args[2]);
}

void cross_entropy_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<CrossEntropyOp>();
  const TileView &dst = args[0], &count = args[4];
  const TileView& d_loss = op.from_loss ? args[5] : count;
  const TileView& d_lse = op.from_lse ? args[op.from_loss ? 6 : 5] : count;
  queue.launch(kernel(queue, op, "cross_entropy_backward", dst.dtype),
               for_each_wide_in_rows(dst.rows, dst.cols), args[1], args[2], args[3], count, d_loss, d_lse,
               dst, dst.cols, int32(dst.col0), op.options.ignore_index, smoothing_of(op),
               static_cast<float>(args.params[0]));
}

}  // namespace tessera
