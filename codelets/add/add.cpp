// add: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/add/add.hpp"

#include "codelets/sum/sum.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void add_cpu(const TileArgs& args);
void add_gpu(const TileArgs& args, DeviceQueue& queue);
void add_row_cpu(const TileArgs& args);
void add_row_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel add_kernel{.name = "add", .cpu = add_cpu, .gpu = add_gpu, .light = true};
const Kernel add_row_kernel{.name = "add_row", .cpu = add_row_cpu, .gpu = add_row_gpu, .light = true};

bool is_row(const TensorType& a, const TensorType& b) { return a.shape.rank() == 2 && b.shape.rank() == 1; }

struct Add final : Op {
  std::string_view name() const override { return "add"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    const bool fits =
        is_row(in[0], in[1]) ? in[0].shape.cols() == in[1].shape.rows() : in[0].shape.same_sizes(in[1].shape);
    if (!fits) throw error("add: {} and {} do not fit", to_string(in[0].shape), to_string(in[1].shape));
    if (!is_float(in[0].dtype) || !is_float(in[1].dtype) ||
        (in[0].dtype != in[1].dtype && !is_row(in[0], in[1])))
      throw error("add: {} of {} and {} of {} do not add up; cast one of them", to_string(in[0].shape),
                  name_of(in[0].dtype), to_string(in[1].shape), name_of(in[1].dtype));
    return {in[0]};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    const bool row = is_row(args.in[0].type(), args.in[1].type());
    return {args.d_out[0], row ? sum_rows(args.d_out[0]) : args.d_out[0]};
  }

  void lower(Lowering& to) const override {
    const TileGrid& a = to.in(0);
    const TileGrid& y = to.out(0);
    const bool row = is_row(to.in_type(0), to.in_type(1));
    const TileGrid b = row ? to.in(1, a.cols, Cuts(1)) : to.in(1, a.rows, a.cols);
    for (int i = 0; i < a.rows.count(); ++i)
      for (int j = 0; j < a.cols.count(); ++j)
        to.task(
            row ? add_row_kernel : add_kernel, {read(a(i, j)), read(row ? b(j) : b(i, j)), write(y(i, j))},
            {.flops = static_cast<double>(to.tile(y(i, j)).rows * to.tile(y(i, j)).cols), .index = {i, j}});
  }

  void reference(HostIn in, HostOut out) const override {
    const bool row = is_row(in[0].type, in[1].type);
    for (int64_t r = 0; r < in[0].rows(); ++r)
      for (int64_t c = 0; c < in[0].cols(); ++c)
        out[0](r, c) = in[0](r, c) + (row ? in[1][static_cast<size_t>(c)] : in[1](r, c));
  }
};

std::vector<Case> cases(DType t) {
  auto op = std::make_shared<Add>();
  return {
      {.name = "plain", .op = op, .inputs = {{{{4, 8}, t}}, {{{4, 8}, t}}}},
      {.name = "ragged",
       .op = op,
       .inputs = {{{{{"rows", 33}, {"cols", 7}}, t}}, {{{{"rows", 33}, {"cols", 7}}, t}}},
       .tiling = "rows=8x2|8,9 cols=4,3"},
      {.name = "bias",
       .op = op,
       .inputs = {{{{{"rows", 33}, {"cols", 19}}, t}}, {{{{"cols", 19}}, DType::f32}}},
       .tiling = "rows=8x2|8,9 cols=16,3",
       .sum_length = 33},
      {.name = "wide bias", .op = op, .inputs = {{{{5, 300}, t}}, {{{300}, t}}}, .sum_length = 5},
      {.name = "unlike cuts",
       .op = op,
       .inputs = {{{{{"rows", 12}, 6}, t}}, {{{{"others", 12}, {"cols", 6}}, t}}},
       .tiling = "rows=4x3 others=5,7 cols=2x3"},
      {.name = "one element", .op = op, .inputs = {{{{1, 1}, t}}, {{{1, 1}, t}}}},
  };
}

}  // namespace

Tensor add(Tensor a, Tensor b) { return a.graph->apply1(std::make_shared<Add>(), {a, b}); }

OpEntry add_entry() { return {"add", {&add_kernel, &add_row_kernel}, cases}; }

}  // namespace tessera
