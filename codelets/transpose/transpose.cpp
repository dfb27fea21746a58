// transpose: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/transpose/transpose.hpp"

#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void transpose_cpu(const TileArgs& args);
void transpose_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel transpose_kernel{.name = "transpose", .cpu = transpose_cpu, .gpu = transpose_gpu};

struct Transpose final : Op {
  std::string_view name() const override { return "transpose"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (in[0].shape.rank() != 2) throw error("transpose: {} is not a matrix", to_string(in[0].shape));
    return {{Shape{in[0].shape[1], in[0].shape[0]}, in[0].dtype}};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override { return {transpose(args.d_out[0])}; }

  void lower(Lowering& to) const override {
    const TileGrid& y = to.out(0);
    const TileGrid x = to.in(0, y.cols, y.rows);
    for (int i = 0; i < y.rows.count(); ++i)
      for (int j = 0; j < y.cols.count(); ++j)
        to.task(transpose_kernel, {read(x(j, i)), write(y(i, j))}, {.index = {i, j}});
  }

  void reference(HostIn in, HostOut out) const override {
    for (int64_t r = 0; r < in[0].rows(); ++r)
      for (int64_t c = 0; c < in[0].cols(); ++c) out[0](c, r) = in[0](r, c);
  }
};

std::vector<Case> cases(DType t) {
  auto op = std::make_shared<Transpose>();
  return {
      {.name = "plain", .op = op, .inputs = {{{{8, 16}, t}}}},
      {.name = "whole vectors and tails", .op = op, .inputs = {{{{83, 141}, t}}}},
      {.name = "ragged tiles",
       .op = op,
       .inputs = {{{{{"rows", 33}, {"heads", 83}}, t}}},
       .tiling = "rows=8x2|8,9 heads=40,40,3"},
      {.name = "one axis cut", .op = op, .inputs = {{{{{"rows", 33}, 7}, t}}}, .tiling = "rows=8x2|8,9"},
      {.name = "one row", .op = op, .inputs = {{{{1, 19}, t}}}},
      {.name = "one column", .op = op, .inputs = {{{{19, 1}, t}}}},
      {.name = "integers",
       .op = op,
       .inputs = {{{{{"rows", 33}, 19}, DType::i32}, -100, 100, {}, false}},
       .tiling = "rows=8x2|8,9",
       .check_gradient = false},
  };
}

}  // namespace

Tensor transpose(Tensor x) { return x.graph->apply1(std::make_shared<Transpose>(), {x}); }

OpEntry transpose_entry() { return {"transpose", {&transpose_kernel}, cases}; }

}  // namespace tessera
