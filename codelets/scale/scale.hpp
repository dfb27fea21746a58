// Products with a number: one known while the graph is built, or one that a tensor holds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y = factor · x. x: floats of any shape. Result: like x.
Tensor scale(Tensor x, float factor);

// y = s · x. s: one f32, so that it may change from step to step. The gradient reaches x only, not s.
Tensor scale_by(Tensor x, Tensor s);

// What the op "scale" knows; its kernel reads it.
struct ScaleAttributes : Op {
  explicit ScaleAttributes(float f) : factor(f) {}

  float factor;
};

}  // namespace tessera
