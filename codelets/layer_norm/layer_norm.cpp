// layer_norm: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/layer_norm/layer_norm.hpp"

#include <cmath>

#include "codelets/row_norm.hpp"

namespace tessera {

void layer_norm_cpu(const TileArgs& args);
void layer_norm_backward_cpu(const TileArgs& args);
void layer_norm_gpu(const TileArgs& args, DeviceQueue& queue);
void layer_norm_backward_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel layer_norm_kernel{
    .name = "layer_norm", .cpu = layer_norm_cpu, .gpu = layer_norm_gpu, .light = true};
const Kernel layer_norm_backward_kernel{.name = "layer_norm_backward",
                                        .cpu = layer_norm_backward_cpu,
                                        .gpu = layer_norm_backward_gpu,
                                        .light = true};

// Mean and 1 / √(variance + eps) of every row: [rows, 2].
TensorType statistics_of(const TensorType& x) { return {Shape{x.shape[0], 2}, DType::f32}; }

// Inputs x, gamma, statistics, d_y; outputs d_x, d_gamma and, where there is a beta, d_beta.
struct LayerNormBackward final : Op {
  bool has_beta;

  explicit LayerNormBackward(bool beta) : has_beta(beta) {}
  std::string_view name() const override { return "layer_norm_backward"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_norm(name(), in[0], in[1]);
    check_alike(name(), in[0], in[3]);
    std::vector<TensorType> out(has_beta ? 3 : 2, {Shape{in[0].shape.cols()}, DType::f32});
    out[0] = in[0];
    return out;
  }

  void lower(Lowering& to) const override { lower_norm_backward(to, layer_norm_backward_kernel, 15); }

  // With g = d_y · gamma and x̂ = (x - mean) · rstd:
  //   d_x = rstd (g - mean(g) - x̂ mean(g x̂)), d_gamma = Σ_r d_y x̂, d_beta = Σ_r d_y
  void reference(HostIn in, HostOut out) const override {
    const HostArray &x = in[0], &gamma = in[1], &statistics = in[2], &d_y = in[3];
    const auto width = static_cast<double>(x.cols());
    for (int64_t r = 0; r < x.rows(); ++r) {
      const double mean = statistics(r, 0), rstd = statistics(r, 1);
      double g_mean = 0, dot_mean = 0;
      for (int64_t c = 0; c < x.cols(); ++c) {
        const auto at = static_cast<size_t>(c);
        const double hat = (x(r, c) - mean) * rstd;
        g_mean += d_y(r, c) * gamma[at] / width;
        dot_mean += d_y(r, c) * gamma[at] * hat / width;
        out[1][at] += d_y(r, c) * hat;
        if (has_beta) out[2][at] += d_y(r, c);
      }
      for (int64_t c = 0; c < x.cols(); ++c)
        out[0](r, c) =
            rstd * (d_y(r, c) * gamma[static_cast<size_t>(c)] - g_mean - (x(r, c) - mean) * rstd * dot_mean);
    }
  }
};

// Outputs y and the statistics that the backward needs.
struct LayerNorm final : LayerNormAttributes {
  using LayerNormAttributes::LayerNormAttributes;
  std::string_view name() const override { return "layer_norm"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    for (size_t k = 1; k < in.size(); ++k) check_norm(name(), in[0], in[k]);
    return {in[0], statistics_of(in[0])};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    if (!args.d_out[0]) return {};
    const Tensor x = args.in[0], gamma = args.in[1], statistics = args.out[1];
    auto backward = std::make_shared<LayerNormBackward>(args.in.size() == 3);
    return x.graph->apply(backward, {x, gamma, statistics, args.d_out[0]});
  }

  void lower(Lowering& to) const override { lower_norm(to, layer_norm_kernel, 8); }

  void reference(HostIn in, HostOut out) const override {
    const HostArray& x = in[0];
    const auto width = static_cast<double>(x.cols());
    for (int64_t r = 0; r < x.rows(); ++r) {
      double mean = 0, variance = 0;
      for (int64_t c = 0; c < x.cols(); ++c) mean += x(r, c) / width;
      for (int64_t c = 0; c < x.cols(); ++c) variance += (x(r, c) - mean) * (x(r, c) - mean) / width;
      const double rstd = 1 / std::sqrt(variance + eps);
      for (int64_t c = 0; c < x.cols(); ++c) {
        const auto at = static_cast<size_t>(c);
        out[0](r, c) = (x(r, c) - mean) * rstd * in[1][at] + (in.size() == 3 ? in[2][at] : 0);
      }
      out[1](r, 0) = mean;
      out[1](r, 1) = rstd;
    }
  }
};

std::vector<Case> cases(DType t) {
  auto op = std::make_shared<LayerNorm>(1e-5f);
  auto backward = std::make_shared<LayerNormBackward>(true);
  const auto vector = [](Dim width) { return TensorType{Shape{std::move(width)}, DType::f32}; };
  const TensorType small{{4, 8}, t}, rows{{{"rows", 33}, 83}, t}, cut{{{"rows", 33}, {"width", 83}}, t};
  const std::string groups = "rows=4x2|4x2|8|6,3 width=40,40,3 channels=60,23";
  return {
      {.name = "plain", .op = op, .inputs = {{small}, {vector(8)}, {vector(8)}}, .sum_length = 8},
      {.name = "no beta", .op = op, .inputs = {{small}, {vector(8)}}, .sum_length = 8},
      {.name = "rows far from zero",
       .op = op,
       .inputs = {{{{4, 67}, t}, 3, 5}, {vector(67)}},
       .sum_length = 67},
      {.name = "ragged groups",
       .op = op,
       .inputs = {{rows}, {vector(83)}, {vector(83)}},
       .tiling = groups,
       .sum_length = 83},
      {.name = "columns and parameters cut",
       .op = op,
       .inputs = {{cut}, {vector({"channels", 83})}, {vector({"width", 83})}},
       .tiling = groups,
       .sum_length = 83},
      {.name = "one row", .op = op, .inputs = {{{{1, 19}, t}}, {vector(19)}, {vector(19)}}, .sum_length = 19},
      {.name = "backward",
       .op = backward,
       .inputs = {{rows}, {vector(83)}, {{{{"rows", 33}, 2}, DType::f32}, 0.5, 1.5}, {cut}},
       .tiling = groups,
       .sum_length = 83,
       .check_gradient = false},
      {.name = "long rows",
       .op = op,
       .inputs = {{{{11, 712}, t}}, {vector(712)}, {vector(712)}},
       .sum_length = 712,
       .check_gradient = false},
      {.name = "backward, long rows",
       .op = backward,
       .inputs = {{{{{"rows", 75}, 1200}, t}},
                  {vector(1200)},
                  {{{{"rows", 75}, 2}, DType::f32}, 0.5, 1.5},
                  {{{{"rows", 75}, 1200}, t}}},
       .tiling = "rows=70,5",
       .sum_length = 1200,
       .check_gradient = false},
  };
}

}  // namespace

Tensor layer_norm(Tensor x, Tensor gamma, Tensor beta, float eps) {
  std::vector<Tensor> in{x, gamma};
  if (beta) in.push_back(beta);
  return x.graph->apply1(std::make_shared<LayerNorm>(eps), std::move(in));
}

OpEntry layer_norm_entry() {
  return {"layer_norm", {&layer_norm_kernel, &layer_norm_backward_kernel}, cases};
}

}  // namespace tessera
