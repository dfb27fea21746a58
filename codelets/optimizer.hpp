// What every optimizer step is given besides its tensors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// Small tensors, so that a step can be submitted before its numbers are known.
struct OptimizerInputs {
  Tensor lr;       // f32 [1]
  Tensor step;     // i32 [1]: 1 in the first step
  Tensor control;  // f32 [3] = {scale, finite, norm} of clip_norm: gradients are multiplied by scale; 0 in
                   // `finite` leaves parameters and state as they are
};

}  // namespace tessera
