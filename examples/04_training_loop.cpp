// A training loop of one's own: a linear classifier learns nine points by heart.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "codelets/adamw/adamw.hpp"
#include "codelets/clip_norm/clip_norm.hpp"
#include "codelets/cross_entropy/cross_entropy.hpp"
#include "models/layers/layers.hpp"
#include "runtime/exec/executor.hpp"

using namespace tessera;

int main() {
  // Nine points, one per axis, of three classes.
  Graph graph;
  ModelParts parts{graph};
  const Tensor x = graph.input("x", {Dim("rows", 9), 9}, DType::f32);
  const Tensor labels = graph.input("labels", {Dim("rows", 9)}, DType::i32);
  const Tensor lr = graph.input("lr", {1}, DType::f32), step = graph.input("step", {1}, DType::i32);
  const Linear classify(Scope(parts, "classify"), {.in = 9, .out = 3});
  const Tensor loss = cross_entropy(classify(x), labels).loss;

  std::vector<Tensor> variables;
  for (const Parameter& p : parts.parameters) variables.push_back(p.variable);
  const std::vector<Tensor> gradients = graph.grad(loss, variables);
  const Tensor control = clip_norm(gradients, {.max_norm = 1});
  for (size_t k = 0; k < variables.size(); ++k) {
    auto state = [&](const char* what) {
      return graph.variable(variables[k].name() + ":" + what, variables[k].shape(), DType::f32);
    };
    adamw(variables[k], gradients[k], {state("m"), state("v")}, {lr, step, control}, {.weight_decay = 0});
  }
  graph.fetch(loss);

  Session session({.workers = 1});
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=3|3|3")}));
  std::vector<float> points(81, 0), rate{0.05f};
  std::vector<int32_t> classes;
  for (int32_t i = 0; i < 9; ++i) {
    points[static_cast<size_t>(10 * i)] = 1;
    classes.push_back((i / 3 + i % 3) % 3);
  }
  float last = 0;
  for (int32_t t = 1; t <= 200; ++t) {
    last = executor.run({{x, points}, {labels, classes}, {lr, rate}, {step, std::vector{t}}}).scalar(loss);
    if (t % 50 == 0) fmt::print("step {}: loss {:.4f}\n", t, last);
  }
  return last < 0.05f ? 0 : 1;
}
