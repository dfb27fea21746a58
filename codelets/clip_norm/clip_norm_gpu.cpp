// clip_norm on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "codelets/clip_norm/control.hpp"
#include "runtime/device/queue.hpp"

namespace tessera {
namespace {

constexpr int width = 256, each = 8;  // items of a group, elements of an item
constexpr Grid one_group{.groups = {1, 1, 1}, .items = {width, 1}};

DeviceKernel kernel(std::string_view name, DType from = DType::f32) {
  return {"clip_norm", name, {{"T", from}, {"WIDTH", width}, {"EACH", each}}};
}

// The sums, each in memory of its own, side by side.
void* gathered(std::span<const TileView> sums, DeviceQueue& queue) {
  constexpr size_t some = 16;  // at a time; the last sum fills up
  void* parts = queue.scratch<float>(static_cast<int64_t>((sums.size() + some - 1) / some * some));
  for (size_t at = 0; at < sums.size(); at += some) {
    std::vector<LaunchArg> args{parts, static_cast<int32_t>(at)};
    for (size_t k = at; k < at + some; ++k) args.emplace_back(sums[std::min(k, sums.size() - 1)]);
    queue.launch_kernel(kernel("gather"), {.items = {1, 1}}, args);
  }
  return parts;
}

}  // namespace

// The number of groups depends on the tile alone, and with it the order of the sum.
void sum_squares_gpu(const TileArgs& args, DeviceQueue& queue) {
  const int64_t n = args[0].size(), groups = (n + each * width - 1) / (each * width);
  void* parts = groups > 1 ? queue.scratch<float>(groups) : args[1].data;
  const Grid grid{.groups = {groups, 1, 1}, .items = {width, 1}};
  queue.launch(kernel("sum_squares", args[0].dtype), grid, args[0], parts, n);
  if (groups > 1) queue.launch(kernel("sum_parts"), one_group, parts, args[1], static_cast<int32_t>(groups));
}

void clip_norm_gpu(const TileArgs& args, DeviceQueue& queue) {
  const std::span<const TileView> sums = args.tiles.subspan(1);
  queue.launch(kernel("clip_norm"), one_group, gathered(sums, queue), args[0],
               static_cast<int32_t>(sums.size()),
               static_cast<float>(args.attributes<ClipNormOp>().options.max_norm));
}

}  // namespace tessera
