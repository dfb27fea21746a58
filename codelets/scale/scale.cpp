// scale: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/scale/scale.hpp"

#include "codelets/elementwise.hpp"

namespace tessera {

void scale_cpu(const TileArgs& args);
void scale_gpu(const TileArgs& args, DeviceQueue& queue);
void scale_by_cpu(const TileArgs& args);
void scale_by_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel scale_kernel{.name = "scale", .cpu = scale_cpu, .gpu = scale_gpu, .light = true};
const Kernel scale_by_kernel{.name = "scale_by", .cpu = scale_by_cpu, .gpu = scale_by_gpu, .light = true};

struct Scale final : ScaleAttributes {
  using ScaleAttributes::ScaleAttributes;
  std::string_view name() const override { return "scale"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_float(name(), in[0]);
    return {in[0]};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override { return {scale(args.d_out[0], factor)}; }
  void lower(Lowering& to) const override { lower_elementwise(to, scale_kernel, 1); }

  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = factor * in[0][i];
  }
};

struct ScaleBy final : Op {
  std::string_view name() const override { return "scale_by"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_float(name(), in[0]);
    if (in[1].shape.size() != 1 || in[1].dtype != DType::f32)
      throw error("scale_by: the factor {} {} is not one f32", name_of(in[1].dtype), to_string(in[1].shape));
    return {in[0]};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {scale_by(args.d_out[0], args.in[1]), Tensor()};
  }

  void lower(Lowering& to) const override { lower_elementwise(to, scale_by_kernel, 1); }

  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = in[1][0] * in[0][i];
  }
};

std::vector<Case> cases(DType t) {
  auto third = std::make_shared<Scale>(1.0f / 3);
  auto by = std::make_shared<ScaleBy>();
  const TensorType small{{4, 8}, t}, one{{1, 1}, t}, cut{{{"rows", 33}, {"ffn", 83}}, t};
  const Case::Input s{{{}, DType::f32}, -2, 2, {}, false};
  const std::string tiling = "rows=8x2|8,9 ffn=40,40,3";
  return {
      {.name = "plain", .op = third, .inputs = {{small}}},
      {.name = "ragged tiles", .op = third, .inputs = {{cut}}, .tiling = tiling},
      {.name = "one element", .op = third, .inputs = {{one}}},
      {.name = "by a tensor", .op = by, .inputs = {{small}, s}},
      {.name = "by a tensor, ragged tiles", .op = by, .inputs = {{cut}, s}, .tiling = tiling},
      {.name = "by a tensor, one element", .op = by, .inputs = {{one}, s}},
  };
}

}  // namespace

Tensor scale(Tensor x, float factor) { return x.graph->apply1(std::make_shared<Scale>(factor), {x}); }

Tensor scale_by(Tensor x, Tensor s) { return x.graph->apply1(std::make_shared<ScaleBy>(), {x, s}); }

OpEntry scale_entry() { return {"scale", {&scale_kernel, &scale_by_kernel}, cases}; }

}  // namespace tessera
