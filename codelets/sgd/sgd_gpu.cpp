// sgd on devices: its launch.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/optimizer_gpu.hpp"
#include "codelets/sgd/sgd_op.hpp"

namespace tessera {

void sgd_gpu(const TileArgs& args, DeviceQueue& queue) {
  const auto& op = args.attributes<SgdOp>();
  const SgdOptions& o = op.options;
  const OptimizerTiles tiles(args, static_cast<size_t>(op.n_state()));
  const int64_t n = tiles.param.size();
  const DeviceKernel kernel{"sgd",
                            "sgd",
                            {{"T", tiles.shadow.dtype},
                             {"SHADOW", tiles.with_shadow},
                             {"MOMENTUM", o.momentum > 0},
                             {"NESTEROV", o.nesterov}}};
  queue.launch(kernel, for_each_wide(n), tiles.param, tiles.grad, tiles.state0, tiles.lr, tiles.control,
               tiles.shadow, n, static_cast<float>(o.weight_decay), static_cast<float>(o.momentum));
}

}  // namespace tessera
