// Root-mean-square normalisation (Zhang, Sennrich, 2019), as in LLaMA.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y = x / √(mean(x²) + eps) · gamma, with each row's own mean.
// x: float [rows, width]; gamma: f32 [width]. Result: like x.
Tensor rms_norm(Tensor x, Tensor gamma, float eps = 1e-5f);

// What the op "rms_norm" knows; its kernel reads it.
struct RmsNormAttributes : Op {
  explicit RmsNormAttributes(float e) : eps(e) {}

  float eps;
};

}  // namespace tessera
