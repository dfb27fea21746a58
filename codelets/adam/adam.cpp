// adam: what it means; its kernels are adamw's.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/adam/adam.hpp"

#include "codelets/adamw/adam_op.hpp"

namespace tessera {
namespace {

const Kernel adam_kernel{.name = "adam", .cpu = adam_step_cpu, .gpu = adam_step_gpu, .light = true};

struct Adam final : AdamOp {
  explicit Adam(AdamOptions o)
      : AdamOp({.beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps, .weight_decay = o.weight_decay}, false) {}
  std::string_view name() const override { return "adam"; }
  const Kernel& kernel() const override { return adam_kernel; }
};

std::vector<Case> cases(DType t) {
  return optimizer_cases("plain", std::make_shared<Adam>(AdamOptions{.beta2 = 0.95, .weight_decay = 0.1}), t,
                         1);
}

}  // namespace

std::vector<Tensor> adam(Tensor param, Tensor grad, AdamMoments moments, OptimizerInputs inputs,
                         AdamOptions options, Tensor shadow) {
  return apply_optimizer(std::make_shared<Adam>(options), param, grad, {moments.m, moments.v}, inputs,
                         shadow);
}

OpEntry adam_entry() { return {"adam", {&adam_kernel}, cases}; }

}  // namespace tessera
