// A layer of one's own from the layers there are: a feed-forward block with a residual, run on two row tiles.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include "codelets/add/add.hpp"
#include "codelets/gelu/gelu.hpp"
#include "models/layers/layers.hpp"
#include "runtime/exec/executor.hpp"

using namespace tessera;

class FeedForward {
 public:
  FeedForward(const Scope& scope, int64_t width)
      : norm_(scope / "norm", width, true, 1e-5),
        up_(scope / "up", {.in = width, .out = Dim("ffn", 4 * width)}),
        down_(scope / "down", {.in = Dim("ffn", 4 * width), .out = width}) {}

  Tensor operator()(Tensor x) const {
    return add(down_(gelu(up_(norm_(x)))), x);
  }  // [rows, width] -> the same

 private:
  LayerNorm norm_;
  Linear up_, down_;
};

int main() {
  Graph graph;
  ModelParts parts{graph};
  const FeedForward layer(Scope(parts, "feed_forward"), 16);
  const Tensor x = graph.input("x", {Dim("rows", 8), 16}, DType::f32);
  const Tensor y = layer(x);
  graph.fetch(y);

  // The hidden width is cut too: its two halves are summed as a tree, which two nodes could share.
  Session session({.workers = 1});
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=4x2 ffn=32|32")}));
  for (const Parameter& p : parts.parameters)
    fmt::print("{} {}\n", p.variable.name(), to_string(p.variable.shape()));
  std::vector<float> values(8 * 16);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) - 3;
  const std::vector<float> result = executor.run({{x, values}}).get(y);
  fmt::print("{} tasks; the first row: {:.3f}\n", executor.plan().tasks.size(),
             fmt::join(result.begin(), result.begin() + 16, " "));
  return 0;
}
