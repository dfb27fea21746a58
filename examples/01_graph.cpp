// Define a graph, plan it as tiles, and run it.
// SPDX-License-Identifier: Apache-2.0
//
//   x [6, 4] ──▶ matmul ──▶ add ──▶ y [6, 3]        rows are cut into 2 + 2 + 2
//   w [3, 4] ──▶ ┘   b [3] ─┘
#include <fmt/ranges.h>

#include "codelets/add/add.hpp"
#include "codelets/matmul/matmul.hpp"
#include "runtime/exec/executor.hpp"

using namespace tessera;

int main() {
  Graph graph;
  const Tensor x = graph.input("x", {Dim("rows", 6), 4}, DType::f32);
  const Tensor w = graph.variable("w", {3, 4}, DType::f32, {.mean = 0.5f});
  const Tensor b = graph.variable("b", {3}, DType::f32, {.mean = 1});
  const Tensor y = add(matmul(x, w, {.transpose_b = true}), b);
  graph.fetch(y);

  Session session({.workers = 1});  // StarPU lives exactly this long
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=2x3")}));
  for (const Task& task : executor.plan().tasks) fmt::print("{}\n", task.label);

  const std::vector<float> ones(24, 1);
  const std::vector<float> result = executor.run({{x, ones}}).get(y);
  fmt::print("y = {}\n", result);
  return result == std::vector<float>(18, 3) ? 0 : 1;  // 4 · 1 · 0.5 + 1
}
