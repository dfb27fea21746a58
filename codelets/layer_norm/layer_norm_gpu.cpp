// layer_norm on devices: its launches.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/layer_norm/layer_norm.hpp"
#include "codelets/row_norm_gpu.hpp"

namespace tessera {

void layer_norm_gpu(const TileArgs& args, DeviceQueue& queue) {
  norm_gpu(args, queue, true, args.attributes<LayerNormAttributes>().eps);
}

void layer_norm_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  norm_backward_gpu(args, queue, true);
}

}  // namespace tessera
