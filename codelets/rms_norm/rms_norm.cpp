// rms_norm: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/rms_norm/rms_norm.hpp"

#include <cmath>

#include "codelets/row_norm.hpp"

namespace tessera {

void rms_norm_cpu(const TileArgs& args);
void rms_norm_backward_cpu(const TileArgs& args);
void rms_norm_gpu(const TileArgs& args, DeviceQueue& queue);
void rms_norm_backward_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel rms_norm_kernel{.name = "rms_norm", .cpu = rms_norm_cpu, .gpu = rms_norm_gpu, .light = true};
const Kernel rms_norm_backward_kernel{
    .name = "rms_norm_backward", .cpu = rms_norm_backward_cpu, .gpu = rms_norm_backward_gpu, .light = true};

// Inputs x, gamma, statistics, d_y; outputs d_x, d_gamma.
struct RmsNormBackward final : Op {
  std::string_view name() const override { return "rms_norm_backward"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_norm(name(), in[0], in[1]);
    check_alike(name(), in[0], in[3]);
    return {in[0], {Shape{in[0].shape.cols()}, DType::f32}};
  }

  void lower(Lowering& to) const override { lower_norm_backward(to, rms_norm_backward_kernel, 11); }

  // With g = d_y · gamma and x̂ = x · rstd: d_x = rstd (g - x̂ mean(g x̂)), d_gamma = Σ_r d_y x̂
  void reference(HostIn in, HostOut out) const override {
    const HostArray &x = in[0], &gamma = in[1], &rstd = in[2], &d_y = in[3];
    for (int64_t r = 0; r < x.rows(); ++r) {
      const double by = rstd[static_cast<size_t>(r)];
      double dot_mean = 0;
      for (int64_t c = 0; c < x.cols(); ++c) {
        const auto at = static_cast<size_t>(c);
        dot_mean += d_y(r, c) * gamma[at] * x(r, c) * by / static_cast<double>(x.cols());
        out[1][at] += d_y(r, c) * x(r, c) * by;
      }
      for (int64_t c = 0; c < x.cols(); ++c)
        out[0](r, c) = by * (d_y(r, c) * gamma[static_cast<size_t>(c)] - x(r, c) * by * dot_mean);
    }
  }
};

// Outputs y and what the backward needs of every row: 1 / √(mean(x²) + eps), [rows].
struct RmsNorm final : RmsNormAttributes {
  using RmsNormAttributes::RmsNormAttributes;
  std::string_view name() const override { return "rms_norm"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_norm(name(), in[0], in[1]);
    return {in[0], {Shape{in[0].shape[0]}, DType::f32}};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    if (!args.d_out[0]) return {};
    const Tensor x = args.in[0], gamma = args.in[1], statistics = args.out[1];
    return x.graph->apply(std::make_shared<RmsNormBackward>(), {x, gamma, statistics, args.d_out[0]});
  }

  void lower(Lowering& to) const override { lower_norm(to, rms_norm_kernel, 5); }

  void reference(HostIn in, HostOut out) const override {
    const HostArray& x = in[0];
    for (int64_t r = 0; r < x.rows(); ++r) {
      double square = 0;
      for (int64_t c = 0; c < x.cols(); ++c) square += x(r, c) * x(r, c) / static_cast<double>(x.cols());
      const double rstd = 1 / std::sqrt(square + eps);
      for (int64_t c = 0; c < x.cols(); ++c) out[0](r, c) = x(r, c) * rstd * in[1][static_cast<size_t>(c)];
      out[1][static_cast<size_t>(r)] = rstd;
    }
  }
};

std::vector<Case> cases(DType t) {
  auto op = std::make_shared<RmsNorm>(1e-5f);
  auto backward = std::make_shared<RmsNormBackward>();
  const auto vector = [](Dim width) { return TensorType{Shape{std::move(width)}, DType::f32}; };
  const TensorType small{{4, 8}, t}, rows{{{"rows", 33}, 83}, t}, cut{{{"rows", 33}, {"width", 83}}, t};
  const std::string groups = "rows=4x2|4x2|8|6,3 width=40,40,3";
  return {
      {.name = "plain", .op = op, .inputs = {{small}, {vector(8)}}, .sum_length = 8},
      {.name = "ragged groups",
       .op = op,
       .inputs = {{rows}, {vector(83)}},
       .tiling = groups,
       .sum_length = 83},
      {.name = "columns and gamma cut",
       .op = op,
       .inputs = {{cut}, {vector({"width", 83})}},
       .tiling = groups,
       .sum_length = 83},
      {.name = "one row", .op = op, .inputs = {{{{1, 19}, t}}, {vector(19)}}, .sum_length = 19},
      {.name = "backward",
       .op = backward,
       .inputs = {{rows}, {vector(83)}, {vector({"rows", 33}), 0.5, 1.5}, {cut}},
       .tiling = groups,
       .sum_length = 83,
       .check_gradient = false},
      {.name = "backward, long rows",
       .op = backward,
       .inputs = {{{{70, 712}, t}}, {vector(712)}, {vector(70), 0.5, 1.5}, {{{70, 712}, t}}},
       .sum_length = 712,
       .check_gradient = false},
  };
}

}  // namespace

Tensor rms_norm(Tensor x, Tensor gamma, float eps) {
  return x.graph->apply1(std::make_shared<RmsNorm>(eps), {x, gamma});
}

OpEntry rms_norm_entry() { return {"rms_norm", {&rms_norm_kernel, &rms_norm_backward_kernel}, cases}; }

}  // namespace tessera
