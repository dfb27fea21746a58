// What the ops of optimizers share: parameters and their state are updated in place, tile by tile.
// SPDX-License-Identifier: Apache-2.0
//
//   inputs:  param, grad, state…, lr, step, control, and perhaps the shadow (the parameter in another dtype)
//   outputs: param, state…, and the shadow where there is one
#pragma once

#include <string>
#include <vector>

#include "codelets/optimizer.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

struct OptimizerOp : Op {
  virtual const Kernel& kernel() const = 0;
  virtual int n_state() const = 0;
  // The new value of one parameter, in double precision; `state` holds its n_state() numbers, updated in
  // place.
  virtual double updated(double param, double grad, double* state, double lr, double step) const = 0;

  int alias(int output) const override {
    return output == 0 ? 0 : output <= n_state() ? output + 1 : n_state() + 5;
  }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    const size_t state = static_cast<size_t>(n_state());
    auto demand = [&](size_t k, const char* what, DType dtype, int64_t size) {
      if (in[k].dtype != dtype || in[k].shape.size() != size)
        throw error("{}: {} is {} {}, not {} of size {}", name(), what, name_of(in[k].dtype),
                    to_string(in[k].shape), name_of(dtype), size);
    };
    if (in[0].dtype != DType::f32)
      throw error("{}: the parameter is {}; keep it in f32 and give its {} copy as the shadow", name(),
                  name_of(in[0].dtype), name_of(in[0].dtype));
    if (in[1].dtype != DType::f32 || !in[1].shape.same_sizes(in[0].shape))
      throw error("{}: the gradient is {} {}, the parameter f32 {}", name(), name_of(in[1].dtype),
                  to_string(in[1].shape), to_string(in[0].shape));
    std::vector<TensorType> out{in[0]};
    for (size_t k = 2; k < 2 + state; ++k) {
      if (in[k] != in[0])
        throw error("{}: state {} is {} {}, the parameter f32 {}", name(), k - 2, name_of(in[k].dtype),
                    to_string(in[k].shape), to_string(in[0].shape));
      out.push_back(in[k]);
    }
    demand(2 + state, "lr", DType::f32, 1);
    demand(3 + state, "step", DType::i32, 1);
    demand(4 + state, "control", DType::f32, 3);
    if (in.size() > 5 + state) {
      const TensorType& shadow = in[5 + state];
      if (!is_float(shadow.dtype) || shadow.shape != in[0].shape)
        throw error("{}: the shadow is {} {}, the parameter {}", name(), name_of(shadow.dtype),
                    to_string(shadow.shape), to_string(in[0].shape));
      out.push_back(shadow);
    }
    return out;
  }

  // All that is written is also read: where `finite` is 0 it keeps its value.
  void lower(Lowering& to) const override {
    const TileGrid& param = to.out(0);
    const TileGrid grad = to.in(1, param.rows, param.cols);
    const bool with_shadow = to.n_inputs() > n_state() + 5;
    std::vector<Access> inputs;  // lr, step, control
    for (int k = 2 + n_state(); k < 5 + n_state(); ++k)
      inputs.push_back(read(to.in(k, Cuts(to.in_type(k).shape.rows()), Cuts(to.in_type(k).shape.cols()))(0)));
    for (int i = 0; i < param.rows.count(); ++i)
      for (int j = 0; j < param.cols.count(); ++j) {
        std::vector<Access> accesses{update(param(i, j)), read(grad(i, j))};
        for (int s = 1; s <= n_state(); ++s) accesses.push_back(update(to.out(s)(i, j)));
        accesses.insert(accesses.end(), inputs.begin(), inputs.end());
        if (with_shadow) accesses.push_back(update(to.out(n_state() + 1)(i, j)));
        to.task(
            kernel(), std::move(accesses),
            {.flops = 10.0 * static_cast<double>(param.rows.size(i) * param.cols.size(j)), .index = {i, j}});
      }
  }

  void reference(HostIn in, HostOut out) const override {
    const size_t state = static_cast<size_t>(n_state());
    const double lr = in[2 + state][0], step = in[3 + state][0], scale = in[4 + state][0];
    const bool finite = in[4 + state][1] != 0;
    for (size_t i = 0; i < in[0].size(); ++i) {
      double kept[4] = {};
      for (size_t s = 0; s < state; ++s) kept[s] = in[2 + s][i];
      out[0][i] = finite ? updated(in[0][i], in[1][i] * scale, kept, lr, step) : in[0][i];
      for (size_t s = 0; s < state; ++s) out[1 + s][i] = kept[s];
      if (out.size() > 1 + state) out[1 + state][i] = finite ? out[0][i] : in[5 + state][i];
    }
  }
};

// One use of an optimizer; the results are the updated tensors, in the order of the op's outputs.
inline std::vector<Tensor> apply_optimizer(std::shared_ptr<const OptimizerOp> op, Tensor param, Tensor grad,
                                           const std::vector<Tensor>& state, OptimizerInputs inputs,
                                           Tensor shadow) {
  std::vector<Tensor> in{param, grad};
  in.insert(in.end(), state.begin(), state.end());
  in.insert(in.end(), {inputs.lr, inputs.step, inputs.control});
  if (shadow) in.push_back(shadow);
  return param.graph->apply(std::move(op), std::move(in));
}

// The cases of an optimizer with these attributes; the second moment, if it has one, is its state number
// `positive`.
inline std::vector<Case> optimizer_cases(const std::string& name,
                                         const std::shared_ptr<const OptimizerOp>& op, DType t,
                                         int positive = -1) {
  struct Variant {
    std::string name, tiling;
    Shape shape;
    double step;
    std::vector<double> control;
  };
  const Shape matrix{{"in", 33}, {"out", 70}}, vector{{"out", 70}};
  const std::vector<Variant> variants{
      {"", "", {4, 8}, 1, {1, 1, 2}},
      {"ragged tiles", "in=8x2|8,9 out=32,30|8", matrix, 3, {0.5, 1, 2}},
      {"vector", "out=32,30|8", vector, 1000, {0.25, 1, 4}},
      {"one element", "", {1, 1}, 2, {1, 1, 2}},
      {"not finite", "in=8x2|8,9", matrix, 3, {1, 0, 2}},
  };
  std::vector<Case> cases;
  for (const Variant& variant : variants) {
    const TensorType param{variant.shape, DType::f32};
    Case made{.name = variant.name.empty() ? name : name + ", " + variant.name,
              .op = op,
              .inputs = {{param}, {param}},
              .tiling = variant.tiling,
              .check_gradient = false};
    for (int s = 0; s < op->n_state(); ++s)
      made.inputs.push_back({.type = param, .low = s == positive ? 0.1 : -1.0, .high = 1});
    made.inputs.push_back({.type = {{1}, DType::f32}, .values = {0.0625}});
    made.inputs.push_back({.type = {{1}, DType::i32}, .values = {variant.step}});
    made.inputs.push_back({.type = {{3}, DType::f32}, .values = variant.control});
    if (t != DType::f32) made.inputs.push_back({.type = {variant.shape, t}});
    cases.push_back(std::move(made));
  }
  return cases;
}

}  // namespace tessera
