// dropout: what it means, and its tiles. It is linear in x: its backward is the same op on the gradient.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/dropout/dropout.hpp"

#include "codelets/elementwise.hpp"
#include "codelets/uniform.hpp"

namespace tessera {

void dropout_cpu(const TileArgs& args);
void dropout_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel dropout_kernel{.name = "dropout", .cpu = dropout_cpu, .gpu = dropout_gpu, .light = true};

struct Dropout final : DropoutAttributes {
  using DropoutAttributes::DropoutAttributes;
  std::string_view name() const override { return "dropout"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_float(name(), in[0]);
    if (in[1].dtype != DType::i32 || in[1].shape.size() != 2)
      throw error("dropout: rng is {} {}, not i32 [2], which holds seed and step", name_of(in[1].dtype),
                  to_string(in[1].shape));
    return {in[0]};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {dropout(args.d_out[0], args.in[1], options), Tensor()};
  }

  void lower(Lowering& to) const override { lower_elementwise(to, dropout_kernel, 2); }

  void reference(HostIn in, HostOut out) const override {
    const Draws draws{static_cast<uint32_t>(static_cast<int32_t>(in[1][0])),
                      static_cast<uint32_t>(static_cast<int32_t>(in[1][1])), options.stream};
    const DropoutRule rule(options.p);
    for (size_t i = 0; i < out[0].size(); ++i)
      out[0][i] = rule.keeps(draws, i) ? in[0][i] * static_cast<double>(rule.factor) : 0;
  }
};

std::vector<Case> cases(DType t) {
  auto tenth = std::make_shared<Dropout>(DropoutOptions{.p = 0.1f, .stream = 3});
  auto half = std::make_shared<Dropout>(DropoutOptions{.p = 0.5f, .stream = 4});
  const Case::Input rng{{{2}, DType::i32}, 0, 0, {17, -5}, false};
  const TensorType cut{{{"rows", 33}, {"ffn", 283}}, t};
  return {
      {.name = "plain", .op = tenth, .inputs = {{{{4, 64}, t}}, rng}},
      {.name = "half", .op = half, .inputs = {{{{4, 7}, t}}, rng}},
      {.name = "ragged tiles", .op = tenth, .inputs = {{cut}, rng}, .tiling = "rows=8x2|8,9 ffn=141,2,140"},
      {.name = "one column", .op = half, .inputs = {{{{{"rows", 33}, 1}, t}}, rng}, .tiling = "rows=30,3"},
      {.name = "vector", .op = half, .inputs = {{{{{"rows", 33}}, t}}, rng}, .tiling = "rows=30,3"},
      {.name = "one element", .op = tenth, .inputs = {{{{1, 1}, t}}, rng}},
  };
}

}  // namespace

Tensor dropout(Tensor x, Tensor rng, const DropoutOptions& options) {
  if (!(options.p >= 0 && options.p < 1)) throw error("dropout: p = {} is not in [0, 1)", options.p);
  if (options.p == 0) return x;
  return x.graph->apply1(std::make_shared<Dropout>(options), {x, rng});
}

OpEntry dropout_entry() { return {"dropout", {&dropout_kernel}, cases}; }

}  // namespace tessera
