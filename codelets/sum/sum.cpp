// sum: what it means, and its tiles. Its `accumulate` kernel adds partial sums of every op.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/sum/sum.hpp"

#include "codelets/add/add.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void sum_rows_cpu(const TileArgs& args);
void sum_rows_gpu(const TileArgs& args, DeviceQueue& queue);
void accumulate_cpu(const TileArgs& args);
void accumulate_gpu(const TileArgs& args, DeviceQueue& queue);
void spread_rows_cpu(const TileArgs& args);
void spread_rows_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel sum_rows_kernel{.name = "sum_rows", .cpu = sum_rows_cpu, .gpu = sum_rows_gpu, .light = true};
const Kernel accumulate_kernel{
    .name = "accumulate", .cpu = accumulate_cpu, .gpu = accumulate_gpu, .light = true};
const Kernel spread_rows_kernel{
    .name = "spread_rows", .cpu = spread_rows_cpu, .gpu = spread_rows_gpu, .light = true};

// y[r, c] = x[c]: the gradient of a sum over rows.
struct SpreadRows final : Op {
  TensorType like;

  explicit SpreadRows(TensorType type) : like(std::move(type)) {}
  std::string_view name() const override { return "spread_rows"; }
  std::vector<TensorType> infer(std::span<const TensorType>) const override { return {like}; }
  std::vector<Tensor> grad(const GradArgs& args) const override { return {sum_rows(args.d_out[0])}; }
  void lower(Lowering& to) const override {
    const TileGrid& y = to.out(0);
    const TileGrid x = to.in(0, y.cols, Cuts(1));
    for (int i = 0; i < y.rows.count(); ++i)
      for (int j = 0; j < y.cols.count(); ++j)
        to.task(spread_rows_kernel, {read(x(j)), write(y(i, j))}, {.index = {i, j}});
  }
  void reference(HostIn in, HostOut out) const override {
    for (int64_t r = 0; r < out[0].rows(); ++r)
      for (int64_t c = 0; c < out[0].cols(); ++c) out[0](r, c) = in[0][static_cast<size_t>(c)];
  }
};

struct SumRows final : Op {
  std::string_view name() const override { return "sum"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (in[0].shape.rank() != 2) throw error("sum: {} is not a matrix", to_string(in[0].shape));
    return {{Shape{in[0].shape[1]}, DType::f32}};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {args.in[0].graph->apply1(std::make_shared<SpreadRows>(args.in[0].type()), {args.d_out[0]})};
  }

  void lower(Lowering& to) const override {
    const TileGrid& x = to.in(0);
    for (int j = 0; j < x.cols.count(); ++j)
      to.reduce(to.out(0)(j), x.rows, [&](int i, TileId sum, bool first) {
        to.task(sum_rows_kernel, {read(x(i, j)), first ? write(sum) : update(sum)},
                {.flops = static_cast<double>(x.rows.size(i) * x.cols.size(j)),
                 .index = {i, j},
                 .params = {first}});
      });
  }

  void reference(HostIn in, HostOut out) const override {
    for (int64_t r = 0; r < in[0].rows(); ++r)
      for (int64_t c = 0; c < in[0].cols(); ++c) out[0][static_cast<size_t>(c)] += in[0](r, c);
  }
};

std::vector<Case> cases(DType t) {
  auto op = std::make_shared<SumRows>();
  auto spread = std::make_shared<SpreadRows>(TensorType{{{"rows", 33}, {"cols", 7}}, t});
  return {
      {.name = "plain", .op = op, .inputs = {{{{5, 8}, t}}}, .sum_length = 5},
      {.name = "ragged groups",
       .op = op,
       .inputs = {{{{{"rows", 33}, {"cols", 19}}, t}}},
       .tiling = "rows=4x2|4x2|8|6,3 cols=16,3",
       .sum_length = 33},
      {.name = "wide", .op = op, .inputs = {{{{41, 300}, t}}}, .sum_length = 41},
      {.name = "many rows", .op = op, .inputs = {{{{300, 21}, t}}}, .sum_length = 300},
      {.name = "one row", .op = op, .inputs = {{{{1, 5}, t}}}},
      {.name = "spread",
       .op = spread,
       .inputs = {{{{{"cols", 7}}, DType::f32}}},
       .tiling = "rows=30,3 cols=4,3",
       .sum_length = 33},
  };
}

}  // namespace

Tensor sum_rows(Tensor x) { return x.graph->apply1(std::make_shared<SumRows>(), {x}); }

OpEntry sum_entry() { return {"sum", {&sum_rows_kernel, &accumulate_kernel, &spread_rows_kernel}, cases}; }

}  // namespace tessera
