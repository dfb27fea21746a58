// AdamW: Adam with the weight decay apart from the gradient (Loshchilov and Hutter, 2019).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/optimizer.hpp"

namespace tessera {

// The running means of the gradient and of its square: f32, like the parameter, 0 at first.
struct AdamMoments {
  Tensor m, v;
};

struct AdamwOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.01;
};

// p ← (1 - lr·decay)·p;  m ← m + (1 - β1)(g - m);  v ← β2·v + (1 - β2)·g²;
// p ← p - lr/(1 - β1^t) · m / (sqrt(v / (1 - β2^t)) + eps).
// All in place; param and grad are f32. Returns param, m, v and, where it is given, the shadow (param in
// bf16).
std::vector<Tensor> adamw(Tensor param, Tensor grad, AdamMoments moments, OptimizerInputs inputs,
                          AdamwOptions options = {}, Tensor shadow = {});

}  // namespace tessera
