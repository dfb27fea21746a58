// silu_mul: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/silu_mul/silu_mul.hpp"

#include <cmath>

#include "codelets/elementwise.hpp"

namespace tessera {

void silu_mul_cpu(const TileArgs& args);
void silu_mul_gpu(const TileArgs& args, DeviceQueue& queue);
void silu_mul_backward_cpu(const TileArgs& args);
void silu_mul_backward_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel silu_mul_kernel{.name = "silu_mul", .cpu = silu_mul_cpu, .gpu = silu_mul_gpu, .light = true};
const Kernel silu_mul_backward_kernel{
    .name = "silu_mul_backward", .cpu = silu_mul_backward_cpu, .gpu = silu_mul_backward_gpu, .light = true};

// With s = sigmoid(gate): d_gate = d_y · up · s (1 + gate (1 - s)), d_up = d_y · gate · s
struct SiluMulBackward final : Op {
  std::string_view name() const override { return "silu_mul_backward"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_alike(name(), in[0], in[1]);
    check_alike(name(), in[0], in[2]);
    return {in[0], in[0]};
  }

  void lower(Lowering& to) const override { lower_elementwise(to, silu_mul_backward_kernel, 30); }

  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) {
      const double gate = in[0][i], up = in[1][i], d_y = in[2][i], s = 1 / (1 + std::exp(-gate));
      out[0][i] = d_y * up * s * (1 + gate * (1 - s));
      out[1][i] = d_y * gate * s;
    }
  }
};

struct SiluMul final : Op {
  std::string_view name() const override { return "silu_mul"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_alike(name(), in[0], in[1]);
    return {in[0]};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    return args.in[0].graph->apply(std::make_shared<SiluMulBackward>(),
                                   {args.in[0], args.in[1], args.d_out[0]});
  }

  void lower(Lowering& to) const override { lower_elementwise(to, silu_mul_kernel, 25); }

  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = in[0][i] / (1 + std::exp(-in[0][i])) * in[1][i];
  }
};

std::vector<Case> cases(DType t) {
  auto op = std::make_shared<SiluMul>();
  auto backward = std::make_shared<SiluMulBackward>();
  const TensorType small{{4, 8}, t}, wide{{16, 67}, t}, one{{1, 1}, t};
  const TensorType cut{{{"rows", 33}, {"ffn", 83}}, t}, other{{{"others", 33}, 83}, t};
  const std::string tiling = "rows=8x2|8,9 ffn=40,40,3 others=5,28";
  return {
      {.name = "plain", .op = op, .inputs = {{small}, {small}}},
      {.name = "wide range", .op = op, .inputs = {{wide, -20, 20}, {wide}}},
      {.name = "far out",
       .op = op,
       .inputs = {{.type = small, .values = {-200, -95, -88, -80, 0, 80, 95, 200}}, {small}}},
      {.name = "ragged tiles", .op = op, .inputs = {{cut, -4, 4}, {cut}}, .tiling = tiling},
      {.name = "unlike cuts", .op = op, .inputs = {{cut, -4, 4}, {other}}, .tiling = tiling},
      {.name = "one element", .op = op, .inputs = {{one}, {one}}},
      {.name = "backward",
       .op = backward,
       .inputs = {{wide, -20, 20}, {wide}, {wide}},
       .check_gradient = false},
      {.name = "backward, unlike cuts",
       .op = backward,
       .inputs = {{cut, -4, 4}, {other}, {cut}},
       .tiling = tiling,
       .check_gradient = false},
  };
}

}  // namespace

Tensor silu_mul(Tensor gate, Tensor up) {
  return gate.graph->apply1(std::make_shared<SiluMul>(), {gate, up});
}

OpEntry silu_mul_entry() { return {"silu_mul", {&silu_mul_kernel, &silu_mul_backward_kernel}, cases}; }

}  // namespace tessera
