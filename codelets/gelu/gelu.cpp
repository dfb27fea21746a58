// gelu: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/gelu/gelu.hpp"

#include <cmath>
#include <numbers>

#include "codelets/elementwise.hpp"

namespace tessera {

void gelu_cpu(const TileArgs& args);
void gelu_backward_cpu(const TileArgs& args);
void gelu_gpu(const TileArgs& args, DeviceQueue& queue);
void gelu_backward_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel gelu_kernel{.name = "gelu", .cpu = gelu_cpu, .gpu = gelu_gpu, .light = true};
const Kernel gelu_backward_kernel{
    .name = "gelu_backward", .cpu = gelu_backward_cpu, .gpu = gelu_backward_gpu, .light = true};

// y = x p(x): the share p of x that passes, and its derivative.
struct Share {
  double value, slope;
};

Share share_of(double x, GeluForm form) {
  if (form == GeluForm::exact)
    return {std::erfc(-x / std::numbers::sqrt2) / 2,
            std::exp(-x * x / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2};
  const double root = std::sqrt(2 / std::numbers::pi);
  const double t = std::tanh(root * (x + 0.044715 * x * x * x));
  return {(1 + t) / 2, (1 - t * t) / 2 * root * (1 + 3 * 0.044715 * x * x)};
}

// d_x = d_y (p(x) + x p'(x))
struct GeluBackward final : GeluAttributes {
  using GeluAttributes::GeluAttributes;
  std::string_view name() const override { return "gelu_backward"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_alike(name(), in[0], in[1]);
    return {in[0]};
  }

  void lower(Lowering& to) const override { lower_elementwise(to, gelu_backward_kernel, 45); }

  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) {
      const Share share = share_of(in[0][i], form);
      out[0][i] = in[1][i] * (share.value + in[0][i] * share.slope);
    }
  }
};

struct Gelu final : GeluAttributes {
  using GeluAttributes::GeluAttributes;
  std::string_view name() const override { return "gelu"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_float(name(), in[0]);
    return {in[0]};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {args.in[0].graph->apply1(std::make_shared<GeluBackward>(form), {args.in[0], args.d_out[0]})};
  }

  void lower(Lowering& to) const override { lower_elementwise(to, gelu_kernel, 40); }

  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = in[0][i] * share_of(in[0][i], form).value;
  }
};

std::vector<Case> cases(DType t) {
  std::vector<Case> all;
  for (GeluForm form : {GeluForm::exact, GeluForm::tanh}) {
    const std::string suffix = form == GeluForm::exact ? ", exact" : ", tanh";
    auto op = std::make_shared<Gelu>(form);
    auto backward = std::make_shared<GeluBackward>(form);
    const TensorType small{{4, 8}, t}, cut{{{"rows", 33}, {"ffn", 83}}, t}, other{{{"others", 33}, 83}, t};
    const std::string tiling = "rows=8x2|8,9 ffn=40,40,3 others=5,28";
    all.insert(all.end(),
               {{.name = "plain" + suffix, .op = op, .inputs = {{small}}},
                {.name = "wide range" + suffix, .op = op, .inputs = {{{{16, 67}, t}, -12, 12}}},
                {.name = "ragged tiles" + suffix, .op = op, .inputs = {{cut, -4, 4}}, .tiling = tiling},
                {.name = "one element" + suffix, .op = op, .inputs = {{{{1, 1}, t}}}},
                {.name = "vector" + suffix, .op = op, .inputs = {{{{{"ffn", 83}}, t}}}, .tiling = tiling},
                {.name = "backward" + suffix,
                 .op = backward,
                 .inputs = {{{{16, 67}, t}, -12, 12}, {{{16, 67}, t}}},
                 .check_gradient = false},
                {.name = "backward, unlike cuts" + suffix,
                 .op = backward,
                 .inputs = {{cut, -4, 4}, {other}},
                 .tiling = tiling,
                 .check_gradient = false}});
  }
  return all;
}

}  // namespace

Tensor gelu(Tensor x, GeluForm form) { return x.graph->apply1(std::make_shared<Gelu>(form), {x}); }

OpEntry gelu_entry() { return {"gelu", {&gelu_kernel, &gelu_backward_kernel}, cases}; }

}  // namespace tessera
