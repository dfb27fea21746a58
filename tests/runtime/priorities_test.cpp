// Priorities: the longest path by cost, on into the next step.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "codelets/matmul/matmul.hpp"
#include "codelets/scale/scale.hpp"
#include "runtime/plan/passes.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/random_plan.hpp"

namespace tessera {
namespace {

using testing_ops::call;
using testing_ops::RandomPlan;

TEST(Priorities, FallAlongEveryDependency) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    RandomPlan random(seed);
    assign_buffers(random.plan);
    link_tasks(random.plan);
    prioritise(random.plan);
    for (const Task& task : random.plan.tasks)
      for (int next : task.next)
        ASSERT_GT(task.priority, random.plan.tasks[static_cast<size_t>(next)].priority);
  }
}

TEST(Priorities, WeighWorkNotJustLength) {
  Graph graph;
  Tensor x = graph.input("x", {256, 256}, DType::f32);
  Tensor w = graph.variable("w", {256, 256}, DType::f32);
  Tensor s = graph.input("s", {4}, DType::f32);
  graph.fetch(matmul(matmul(x, w), w));  // two tasks, 67 million operations
  Tensor y = s;
  for (int i = 0; i < 10; ++i) y = scale(y, 2);
  graph.fetch(y);
  const Plan plan = make_plan(graph, {.fuse = false});
  EXPECT_EQ(plan.tasks[0].stages[0].kernel->name, "matmul");
  EXPECT_GT(plan.tasks[0].priority, plan.tasks[2].priority);
}

// Weights are updated in the order in which the next step wants them.
TEST(Priorities, GoOnIntoTheNextStep) {
  Graph graph;
  Tensor y = graph.input("x", {8, 8}, DType::f32);
  std::vector<Tensor> weights;
  for (int i = 0; i < 4; ++i) weights.push_back(graph.variable("w" + std::to_string(i), {8, 8}, DType::f32));
  for (Tensor w : weights) y = matmul(y, w);
  for (Tensor w : weights) call("update", {w, y}, nullptr, {.in_place = 0});
  const Plan plan = make_plan(graph, {});
  ASSERT_EQ(plan.tasks.size(), 8u);
  for (size_t k = 4; k + 1 < 8; ++k) EXPECT_GT(plan.tasks[k].priority, plan.tasks[k + 1].priority);
}

}  // namespace
}  // namespace tessera
