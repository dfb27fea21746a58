// rmsprop on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/optimizer_gpu.hpp"
#include "codelets/rmsprop/rmsprop_op.hpp"

namespace tessera {

void rmsprop_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<RmspropOp>();
  const RmspropOptions& o = op.options;
  const OptimizerTiles tiles(args, static_cast<size_t>(op.n_state()));
  const int64_t n = tiles.param.size();
  const auto f32 = [](double x) { return static_cast<float>(x); };
  const DeviceKernel kernel{
      "rmsprop",
      "rmsprop",
      {{"T", tiles.shadow.dtype}, {"SHADOW", tiles.with_shadow}, {"MOMENTUM", o.momentum > 0}}};
  queue.launch(kernel, for_each_wide(n), tiles.param, tiles.grad, tiles.state0, tiles.state1, tiles.lr,
               tiles.control, tiles.shadow, n, f32(o.alpha), f32(1 - o.alpha), f32(o.eps),
               f32(o.weight_decay), f32(o.momentum));
}

}  // namespace tessera
