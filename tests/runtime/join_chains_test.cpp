// Joining chains of small tasks.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>

#include "codelets/matmul/matmul.hpp"
#include "codelets/silu_mul/silu_mul.hpp"
#include "runtime/plan/passes.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/random_plan.hpp"

namespace tessera {
namespace {

class JoinChains : public testing::Test {
 protected:
  Plan plan(const std::string& tiling, bool join = true) {
    return make_plan(graph, {.tiling = Tiling::parse(tiling), .fold = false, .join_chains = join});
  }

  Graph graph;
  Tensor x = graph.input("x", {{"rows", 2}, 4}, DType::f32);
  Tensor w = graph.variable("w", {4, 4}, DType::f32);
};

TEST_F(JoinChains, AChainOfHeavyTasksIsOne) {
  graph.fetch(matmul(matmul(x, w), w));
  EXPECT_EQ(to_text(plan("rows=1,1")),
            "0: matmul(x[0,0], w) > t2[0,0]~; matmul(t2[0,0]~, w) > t3[0,0]\n"
            "1: matmul(x[1,0], w) > t2[1,0]~; matmul(t2[1,0]~, w) > t3[1,0]\n");
}

TEST_F(JoinChains, LargeTasksStayApart) {
  const Tensor large = graph.input("large", {{"rows", 512}, 512}, DType::f32);
  const Tensor square = graph.variable("square", {512, 512}, DType::f32);
  graph.fetch(matmul(matmul(large, square), square));
  EXPECT_EQ(plan("rows=512").tasks.size(), 2u);
}

// A residual was read by what the chain began with, so that waiting for it is waiting for nothing more.
TEST_F(JoinChains, AChainTakesInWhatReadsTheResidual) {
  const Tensor h = matmul(x, w), v = graph.variable("v", {4, {"ffn", 8}}, DType::f32);
  const Tensor down = graph.variable("down", {{"ffn", 8}, 4}, DType::f32);
  graph.fetch(add(h, matmul(matmul(matmul(h, w), v), down)));
  const Plan joined = make_plan(graph, {.tiling = Tiling::parse("rows=2 ffn=4|4"), .join_chains = true});
  const auto with_residual = std::find_if(joined.tasks.begin(), joined.tasks.end(), [](const Task& task) {
    return std::any_of(task.stages.begin(), task.stages.end(),
                       [](const Stage& stage) { return stage.params[2] != 0; });
  });
  ASSERT_NE(with_residual, joined.tasks.end());
  EXPECT_EQ(with_residual->stages.size(), 2u) << to_text(joined);  // by a part of v, by its part of down
}

// gate and up are matmuls of the same tile, which only silu_mul reads, and that only the matmul after it.
class Families : public JoinChains {
 protected:
  void SetUp() override {
    const Tensor h = matmul(x, w), gate = graph.variable("gate", {4, {"ffn", 8}}, DType::f32);
    const Tensor up = graph.variable("up", {4, {"ffn", 8}}, DType::f32);
    const Tensor down = graph.variable("down", {{"ffn", 8}, 4}, DType::f32);
    graph.fetch(matmul(silu_mul(matmul(h, gate), matmul(h, up)), down));
  }
};

TEST_F(Families, OfPredecessorsAreOneWhereManyRemain) {
  const Plan apart = plan("rows=2 ffn=2|2|2|2", false), joined = plan("rows=2 ffn=2|2|2|2");
  const auto families = std::count_if(joined.tasks.begin(), joined.tasks.end(), [](const Task& task) {
    return task.stages.size() == 4;  // gate, up, silu_mul, down
  });
  EXPECT_EQ(families, 4) << to_text(joined);
  EXPECT_EQ(joined.tasks.size(), 7u) << to_text(joined);  // and h, and the tree of sums
  EXPECT_GT(apart.tasks.size(), 14u);
}

TEST_F(Families, StayParallelWhereFewRemain) {
  for (const Task& task : plan("rows=2 ffn=4|4").tasks)
    EXPECT_LE(std::count_if(task.stages.begin(), task.stages.end(),
                            [](const Stage& stage) { return stage.kernel->name.starts_with("matmul"); }),
              1);
}

TEST(JoinChainsProperty, KeepsOrderAndResults) { EXPECT_GT(testing_ops::tasks_joined_by(join_chains), 300u); }

}  // namespace
}  // namespace tessera
