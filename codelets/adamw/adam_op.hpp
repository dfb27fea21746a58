// What adamw and adam share: all but where the weight decay goes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "codelets/adamw/adamw.hpp"
#include "codelets/optimizer_op.hpp"

namespace tessera {

void adam_step_cpu(const TileArgs& args);
void adam_step_gpu(const TileArgs& args, DeviceQueue& queue);

struct AdamOp : OptimizerOp {
  AdamwOptions options;
  bool decoupled;  // the decay shrinks the parameter; otherwise it is added to the gradient

  AdamOp(AdamwOptions o, bool apart) : options(o), decoupled(apart) {}
  int n_state() const override { return 2; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (!(options.beta1 >= 0 && options.beta1 < 1 && options.beta2 >= 0 && options.beta2 < 1))
      throw error("{}: beta1 = {} and beta2 = {} must be in [0, 1)", name(), options.beta1, options.beta2);
    if (!(options.eps >= 0 && options.weight_decay >= 0))
      throw error("{}: eps = {} and weight_decay = {} must not be negative", name(), options.eps,
                  options.weight_decay);
    return OptimizerOp::infer(in);
  }

  double updated(double param, double grad, double* state, double lr, double step) const override {
    if (decoupled) {
      param *= 1 - lr * options.weight_decay;
    } else {
      grad += options.weight_decay * param;
    }
    double &m = state[0], &v = state[1];
    m = options.beta1 * m + (1 - options.beta1) * grad;
    v = options.beta2 * v + (1 - options.beta2) * grad * grad;
    const double m_hat = m / (1 - std::pow(options.beta1, step)),
                 v_hat = v / (1 - std::pow(options.beta2, step));
    return param - lr * m_hat / (std::sqrt(v_hat) + options.eps);
  }
};

}  // namespace tessera
