// What sgd's op and its kernels share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/optimizer_op.hpp"
#include "codelets/sgd/sgd.hpp"

namespace tessera {

struct SgdOp : OptimizerOp {
  SgdOptions options;

  explicit SgdOp(SgdOptions o) : options(o) {}
  int n_state() const override { return options.momentum > 0 ? 1 : 0; }

  double updated(double param, double grad, double* state, double lr, double /*step*/) const override {
    grad += options.weight_decay * param;
    if (options.momentum <= 0) return param - lr * grad;
    state[0] = options.momentum * state[0] + grad;
    return param - lr * (options.nesterov ? grad + options.momentum * state[0] : state[0]);
  }
};

}  // namespace tessera
