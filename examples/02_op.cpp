// An op of one's own, outside the tree: y = x², with its gradient, in one file.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include "runtime/exec/executor.hpp"
#include "runtime/plan/lowering.hpp"

using namespace tessera;

// Kernels see tiles: here x, y of one size.
void square_cpu(const TileArgs& args) {
  for (int64_t i = 0; i < args[1].size(); ++i)
    args[1].as<float>()[i] = args[0].as<float>()[i] * args[0].as<float>()[i];
}
// d_x = 2 x d_y
void square_backward_cpu(const TileArgs& args) {
  for (int64_t i = 0; i < args[2].size(); ++i)
    args[2].as<float>()[i] = 2 * args[0].as<float>()[i] * args[1].as<float>()[i];
}
const Kernel square_kernel{.name = "square", .cpu = square_cpu, .light = true};
const Kernel square_backward_kernel{.name = "square_backward", .cpu = square_backward_cpu, .light = true};

// Both directions: tile by tile, tiles are independent.
struct ElementWise : Op {
  std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  void lower_with(Lowering& to, const Kernel& kernel) const {
    const TileGrid& y = to.out(0);
    for (size_t k = 0; k < y.tiles.size(); ++k) {
      std::vector<Access> accesses;
      for (int input = 0; input < to.n_inputs(); ++input) accesses.push_back(read(to.in(input).tiles[k]));
      accesses.push_back(write(y.tiles[k]));
      to.task(kernel, accesses, {.index = {static_cast<int>(k), 0}});
    }
  }
};

struct SquareBackward final : ElementWise {
  std::string_view name() const override { return "square_backward"; }
  void lower(Lowering& to) const override { lower_with(to, square_backward_kernel); }
  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = 2 * in[0][i] * in[1][i];
  }
};

struct Square final : ElementWise {
  std::string_view name() const override { return "square"; }
  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {args.in[0].graph->apply1(std::make_shared<SquareBackward>(), {args.in[0], args.d_out[0]})};
  }
  void lower(Lowering& to) const override { lower_with(to, square_kernel); }
  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = in[0][i] * in[0][i];
  }
};

Tensor square(Tensor x) { return x.graph->apply1(std::make_shared<Square>(), {x}); }

int main() {
  Graph graph;
  const Tensor x = graph.variable("x", {1}, DType::f32, {.mean = 3});
  const Tensor y = square(x);
  const Tensor d_x = graph.grad(y, std::vector{x})[0];
  graph.fetch(y);
  graph.fetch(d_x);
  Session session({.workers = 1});
  Executor executor(session, make_plan(graph, {}));
  const Executor::Step step = executor.run();
  fmt::print("x = 3: x² = {}, its derivative {}\n", step.scalar(y), step.scalar(d_x));
  return step.scalar(y) == 9 && step.scalar(d_x) == 6 ? 0 : 1;
}
