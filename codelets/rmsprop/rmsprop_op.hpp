// What rmsprop's op and its kernels share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "codelets/optimizer_op.hpp"
#include "codelets/rmsprop/rmsprop.hpp"

namespace tessera {

struct RmspropOp : OptimizerOp {
  RmspropOptions options;

  explicit RmspropOp(RmspropOptions o) : options(o) {}
  int n_state() const override { return options.momentum > 0 ? 2 : 1; }

  double updated(double param, double grad, double* state, double lr, double /*step*/) const override {
    grad += options.weight_decay * param;
    state[0] = options.alpha * state[0] + (1 - options.alpha) * grad * grad;
    const double direction = grad / (std::sqrt(state[0]) + options.eps);
    if (options.momentum <= 0) return param - lr * direction;
    state[1] = options.momentum * state[1] + direction;
    return param - lr * state[1];
  }
};

}  // namespace tessera
