// adamw: what it means.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/adamw/adamw.hpp"

#include "codelets/adamw/adam_op.hpp"

namespace tessera {
namespace {

const Kernel adamw_kernel{.name = "adamw", .cpu = adam_step_cpu, .gpu = adam_step_gpu, .light = true};

struct Adamw final : AdamOp {
  explicit Adamw(AdamwOptions o) : AdamOp(o, true) {}
  std::string_view name() const override { return "adamw"; }
  const Kernel& kernel() const override { return adamw_kernel; }
};

std::vector<Case> cases(DType t) {
  return optimizer_cases("plain", std::make_shared<Adamw>(AdamwOptions{.beta2 = 0.95, .weight_decay = 0.1}),
                         t, 1);
}

}  // namespace

std::vector<Tensor> adamw(Tensor param, Tensor grad, AdamMoments moments, OptimizerInputs inputs,
                          AdamwOptions options, Tensor shadow) {
  return apply_optimizer(std::make_shared<Adamw>(options), param, grad, {moments.m, moments.v}, inputs,
                         shadow);
}

OpEntry adamw_entry() { return {"adamw", {&adamw_kernel}, cases}; }

}  // namespace tessera
