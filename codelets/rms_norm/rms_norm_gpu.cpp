// rms_norm on devices: its launches, of layer_norm's kernels.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/rms_norm/rms_norm.hpp"
#include "codelets/row_norm_gpu.hpp"

namespace tessera {

void rms_norm_gpu(const TileArgs& args, DeviceQueue& queue) {
  norm_gpu(args, queue, false, args.attributes<RmsNormAttributes>().eps);
}

void rms_norm_backward_gpu(const TileArgs& args, DeviceQueue& queue) {
  norm_backward_gpu(args, queue, false);
}

}  // namespace tessera
