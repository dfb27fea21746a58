// Adam (Kingma and Ba, 2015); its weight decay is part of the gradient.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/adamw/adamw.hpp"

namespace tessera {

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
};

// g ← g + decay·p, then as adamw without its own decay.
std::vector<Tensor> adam(Tensor param, Tensor grad, AdamMoments moments, OptimizerInputs inputs,
                         AdamOptions options = {}, Tensor shadow = {});

}  // namespace tessera
