// sgd: what it means.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/sgd/sgd.hpp"

#include "codelets/sgd/sgd_op.hpp"

namespace tessera {

void sgd_cpu(const TileArgs& args);
void sgd_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel sgd_kernel{.name = "sgd", .cpu = sgd_cpu, .gpu = sgd_gpu, .light = true};

struct Sgd final : SgdOp {
  using SgdOp::SgdOp;
  std::string_view name() const override { return "sgd"; }
  const Kernel& kernel() const override { return sgd_kernel; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (!(options.momentum >= 0 && options.weight_decay >= 0))
      throw error("sgd: momentum = {} and weight_decay = {} must not be negative", options.momentum,
                  options.weight_decay);
    if (options.nesterov && options.momentum == 0) throw error("sgd: nesterov needs momentum > 0");
    return OptimizerOp::infer(in);
  }
};

std::vector<Case> cases(DType t) {
  std::vector<Case> all;
  auto add_cases = [&](const std::string& name, SgdOptions options) {
    for (Case& made : optimizer_cases(name, std::make_shared<Sgd>(options), t))
      all.push_back(std::move(made));
  };
  add_cases("plain", {.weight_decay = 0.1});
  add_cases("momentum", {.momentum = 0.9, .weight_decay = 0.1});
  add_cases("nesterov", {.momentum = 0.9, .nesterov = true});
  return all;
}

}  // namespace

std::vector<Tensor> sgd(Tensor param, Tensor grad, Tensor velocity, OptimizerInputs inputs,
                        SgdOptions options, Tensor shadow) {
  if (static_cast<bool>(velocity) != (options.momentum > 0))
    throw error("sgd: momentum = {} and {} velocity is given", options.momentum, velocity ? "a" : "no");
  std::vector<Tensor> state;
  if (velocity) state.push_back(velocity);
  return apply_optimizer(std::make_shared<Sgd>(options), param, grad, state, inputs, shadow);
}

OpEntry sgd_entry() { return {"sgd", {&sgd_kernel}, cases}; }

}  // namespace tessera
