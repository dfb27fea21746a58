// cast: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/cast/cast.hpp"

#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void cast_cpu(const TileArgs& args);
void cast_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel cast_kernel{.name = "cast", .cpu = cast_cpu, .gpu = cast_gpu, .light = true};

struct Cast final : Op {
  DType to_type;

  explicit Cast(DType type) : to_type(type) {}
  std::string_view name() const override { return "cast"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (!is_float(in[0].dtype) || !is_float(to_type))
      throw error("cast: from {} to {}", name_of(in[0].dtype), name_of(to_type));
    return {{in[0].shape, to_type}};
  }
  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {cast(args.d_out[0], args.in[0].dtype())};
  }

  void lower(Lowering& to) const override {
    const TileGrid& x = to.in(0);
    const TileGrid& y = to.out(0);
    for (int i = 0; i < x.rows.count(); ++i)
      for (int j = 0; j < x.cols.count(); ++j)
        to.task(cast_kernel, {read(x(i, j)), write(y(i, j))}, {.index = {i, j}});
  }

  void reference(HostIn in, HostOut out) const override { out[0].values = in[0].values; }
};

std::vector<Case> cases(DType t) {
  auto op = std::make_shared<Cast>(t == DType::f32 ? DType::bf16 : DType::f32);
  std::vector<Case> all{
      {.name = "plain", .op = op, .inputs = {{{{5, 8}, t}}}},
      {.name = "ragged",
       .op = op,
       .inputs = {{{{{"rows", 9}, {"cols", 19}}, t}}},
       .tiling = "rows=4,4|1 cols=16,3"},
  };
  if (t == DType::f16)
    for (DType from : {DType::f32, DType::bf16})
      all.push_back({.name = "from " + std::string(name_of(from)),
                     .op = std::make_shared<Cast>(t),
                     .inputs = {{{{5, 8}, from}}}});
  return all;
}

}  // namespace

Tensor cast(Tensor x, DType to) {
  return x.dtype() == to ? x : x.graph->apply1(std::make_shared<Cast>(to), {x});
}

OpEntry cast_entry() { return {"cast", {&cast_kernel}, cases}; }

}  // namespace tessera
