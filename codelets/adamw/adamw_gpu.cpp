// adamw and adam on devices: their launch.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "codelets/adamw/adam_op.hpp"
#include "codelets/optimizer_gpu.hpp"

namespace tessera {

void adam_step_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<AdamOp>();
  const AdamwOptions& o = op.options;
  const OptimizerTiles tiles(args, 2);
  const int64_t n = tiles.param.size();
  const auto f32 = [](double x) { return static_cast<float>(x); };
  queue.launch({"adamw", "adam_step", {{"T", tiles.shadow.dtype}, {"SHADOW", tiles.with_shadow}}},
               for_each_wide(n), tiles.param, tiles.grad, tiles.state0, tiles.state1, tiles.lr, tiles.step,
               tiles.control, tiles.shadow, n, f32(std::log(o.beta1)), f32(std::log(o.beta2)), f32(o.beta2),
               f32(1 - o.beta1), f32(1 - o.beta2), f32(o.eps), f32(op.decoupled ? o.weight_decay : 0),
               f32(op.decoupled ? 0 : o.weight_decay));
}

}  // namespace tessera
