// The norm of all gradients together, whether it is finite, and the factor that bounds it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/graph/graph.hpp"

namespace tessera {

struct ClipNormOptions {
  double max_norm = 0;  // not positive: gradients are left as they are
};

// control = {scale, finite, norm}, f32 [3]: norm = sqrt(Σ g²) over all elements of all gradients; finite is 1
// or 0; scale = min(1, max_norm / (norm + 1e-6)), 1 where nothing is to be clipped. Optimizers take it as
// their `control`.
Tensor clip_norm(std::vector<Tensor> grads, ClipNormOptions options = {});

}  // namespace tessera
