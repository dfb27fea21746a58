// An op of one's own outside Tessera's tree, next to one of Tessera's: y = 2 (a + b), in tiles.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <vector>

#include "codelets/add/add.hpp"
#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"

namespace {

using namespace tessera;

void twice_cpu(const TileArgs& args) {
  const float* src = args[0].as<const float>();
  float* dst = args[1].as<float>();
  for (int64_t i = 0; i < args[1].size(); ++i) dst[i] = 2 * src[i];
}
const Kernel twice_kernel{.name = "twice", .cpu = twice_cpu};

Tensor twice(Tensor x);

struct Twice final : Op {
  std::string_view name() const override { return "twice"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (in[0].dtype != DType::f32) throw error("twice: {} is not f32", name_of(in[0].dtype));
    return {in[0]};
  }
  std::vector<Tensor> grad(const GradArgs& args) const override { return {twice(args.d_out[0])}; }
  void lower(Lowering& to) const override {
    for (int i = 0; i < to.out(0).rows.count(); ++i)
      for (int j = 0; j < to.out(0).cols.count(); ++j)
        to.task(twice_kernel, {read(to.in(0)(i, j)), write(to.out(0)(i, j))}, {.index = {i, j}});
  }
  void reference(HostIn in, HostOut out) const override {
    for (size_t i = 0; i < out[0].size(); ++i) out[0][i] = 2 * in[0][i];
  }
};

Tensor twice(Tensor x) { return x.graph->apply1(std::make_shared<Twice>(), {x}); }

bool run() {
  const Shape shape{{"rows", 5}, {"cols", 3}};
  Graph graph;
  const Tensor a = graph.input("a", shape, DType::f32);
  const Tensor b = graph.input("b", shape, DType::f32);
  const Tensor y = twice(add(a, b));
  graph.fetch(y);

  Session session({.engine = "threads", .workers = 2});
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=2,3 cols=2,1")}));
  const std::vector<float> ones(15, 1), twos(15, 2);
  return executor.run({{a, ones}, {b, twos}}).get(y) == std::vector<float>(15, 6);
}

// Tessera's exceptions must be caught by type across the library's boundary.
bool refuses() {
  try {
    dtype_named("f31");
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace

int main() {
  if (!run() || !refuses()) return 1;
  std::puts("an op outside the tree: ok");
}
