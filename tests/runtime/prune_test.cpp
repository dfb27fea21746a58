// Pruning: what reaches neither a fetch nor a variable is dropped.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "codelets/matmul/matmul.hpp"
#include "codelets/scale/scale.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/plan/passes.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"

namespace tessera {
namespace {

using testing_ops::call;

std::string pruned(const Graph& graph) {
  Program program(graph);
  prune(program);
  return to_text(program);
}

TEST(Prune, DropsWhatNobodyReads) {
  Graph graph;
  Tensor x = graph.input("x", {4, 3}, DType::f32);
  Tensor w = graph.variable("w", {3, 1}, DType::f32);
  Tensor y = matmul(x, w);
  scale(scale(y, 2), 3);  // nobody
  graph.fetch(sum_rows(y));
  EXPECT_EQ(to_text(Program(graph)),
            "t2 = matmul(x, w)\n"
            "t3 = scale(t2)\n"
            "t4 = scale(t3)\n"
            "t5 = sum(t2)\n"
            "fetch t5\n");
  EXPECT_EQ(pruned(graph),
            "t2 = matmul(x, w)\n"
            "t5 = sum(t2)\n"
            "fetch t5\n");
}

TEST(Prune, KeepsUpdatesOfVariablesAndWhatTheyNeed) {
  Graph graph;
  Tensor x = graph.input("x", {4, 3}, DType::f32);
  Tensor w = graph.variable("w", {3, 1}, DType::f32);
  Tensor loss = sum_rows(matmul(x, w));
  Tensor d_w = graph.grad(loss, std::vector{w})[0];
  Tensor updated = call("update", {w, d_w}, nullptr, {.in_place = 0});
  Tensor again = call("update", {updated, d_w}, nullptr, {.in_place = 0});  // through the first one's result
  call("update", {scale(x, 1), again}, nullptr, {.in_place = 0});           // no variable
  EXPECT_EQ(pruned(graph),
            "t5 = spread_rows(loss_scale) backward\n"
            "t7 = matmul(x, t5) backward\n"
            "t8 in w = update(w, t7)\n"
            "t9 in t8 = update(t8, t7)\n");
}

TEST(Prune, NothingWantedLeavesNothing) {
  Graph graph;
  scale(graph.input("x", {4, 3}, DType::f32), 2);
  EXPECT_EQ(pruned(graph), "");
  const Plan plan = make_plan(graph, {});
  EXPECT_TRUE(plan.tasks.empty());
  EXPECT_TRUE(plan.buffers.empty());
}

}  // namespace
}  // namespace tessera
