// rmsprop: what it means.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/rmsprop/rmsprop.hpp"

#include "codelets/rmsprop/rmsprop_op.hpp"

namespace tessera {

void rmsprop_cpu(const TileArgs& args);
void rmsprop_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel rmsprop_kernel{.name = "rmsprop", .cpu = rmsprop_cpu, .gpu = rmsprop_gpu, .light = true};

struct Rmsprop final : RmspropOp {
  using RmspropOp::RmspropOp;
  std::string_view name() const override { return "rmsprop"; }
  const Kernel& kernel() const override { return rmsprop_kernel; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (!(options.alpha >= 0 && options.alpha < 1))
      throw error("rmsprop: alpha = {} is not in [0, 1)", options.alpha);
    if (!(options.eps >= 0 && options.weight_decay >= 0 && options.momentum >= 0))
      throw error("rmsprop: eps = {}, weight_decay = {} and momentum = {} must not be negative", options.eps,
                  options.weight_decay, options.momentum);
    return OptimizerOp::infer(in);
  }
};

std::vector<Case> cases(DType t) {
  std::vector<Case> all = optimizer_cases(
      "plain", std::make_shared<Rmsprop>(RmspropOptions{.alpha = 0.9, .weight_decay = 0.1}), t, 0);
  for (Case& made : optimizer_cases(
           "momentum", std::make_shared<Rmsprop>(RmspropOptions{.alpha = 0.9, .momentum = 0.8}), t, 0))
    all.push_back(std::move(made));
  return all;
}

}  // namespace

std::vector<Tensor> rmsprop(Tensor param, Tensor grad, RmspropState state, OptimizerInputs inputs,
                            RmspropOptions options, Tensor shadow) {
  if (static_cast<bool>(state.velocity) != (options.momentum > 0))
    throw error("rmsprop: momentum = {} and {} velocity is given", options.momentum,
                state.velocity ? "a" : "no");
  std::vector<Tensor> tensors{state.square};
  if (state.velocity) tensors.push_back(state.velocity);
  return apply_optimizer(std::make_shared<Rmsprop>(options), param, grad, tensors, inputs, shadow);
}

OpEntry rmsprop_entry() { return {"rmsprop", {&rmsprop_kernel}, cases}; }

}  // namespace tessera
