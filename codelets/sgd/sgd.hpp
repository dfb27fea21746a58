// Stochastic gradient descent, with momentum (plain or Nesterov's) where it is wanted.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/optimizer.hpp"

namespace tessera {

struct SgdOptions {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

// g ← g + decay·p;  b ← momentum·b + g;  p ← p - lr·b, or - lr·(g + momentum·b) with Nesterov's.
// `velocity` (b): f32, like the parameter, 0 at first; empty without momentum. All in place; returns param,
// velocity (with momentum) and, where it is given, the shadow (param in bf16).
std::vector<Tensor> sgd(Tensor param, Tensor grad, Tensor velocity, OptimizerInputs inputs,
                        SgdOptions options = {}, Tensor shadow = {});

}  // namespace tessera
