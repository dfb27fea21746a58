// RMSprop (Tieleman and Hinton, 2012), with momentum where it is wanted.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/optimizer.hpp"

namespace tessera {

// f32, like the parameter, 0 at first.
struct RmspropState {
  Tensor square;         // the running mean of squared gradients
  Tensor velocity = {};  // only with momentum
};

struct RmspropOptions {
  double alpha = 0.99, eps = 1e-8;
  double weight_decay = 0, momentum = 0;
};

// g ← g + decay·p;  s ← α·s + (1 - α)·g²;  u = g / (sqrt(s) + eps);  b ← momentum·b + u;  p ← p - lr·b.
// All in place; returns param, the state and, where it is given, the shadow (param in bf16).
std::vector<Tensor> rmsprop(Tensor param, Tensor grad, RmspropState state, OptimizerInputs inputs,
                            RmspropOptions options = {}, Tensor shadow = {});

}  // namespace tessera
