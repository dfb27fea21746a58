// Layer normalisation (Ba, Kiros, Hinton, 2016).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y = (x - mean) / √(variance + eps) · gamma + beta, with each row's own mean and variance.
// x: float [rows, width]; gamma, beta: f32 [width], beta may be empty. Result: like x.
Tensor layer_norm(Tensor x, Tensor gamma, Tensor beta = {}, float eps = 1e-5f);

// What the op "layer_norm" knows; its kernel reads it.
struct LayerNormAttributes : Op {
  explicit LayerNormAttributes(float e) : eps(e) {}

  float eps;
};

}  // namespace tessera
