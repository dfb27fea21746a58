// Joining tasks that follow each other.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "codelets/matmul/matmul.hpp"
#include "runtime/plan/passes.hpp"
#include "tests/runtime/random_plan.hpp"

namespace tessera {
namespace {

TEST(JoinRuns, FillTasksUpToTheLimit) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 2}, 4}, DType::f32);  // a product of a row has 32 flops and 96 bytes
  const Tensor w = graph.variable("w", {4, 4}, DType::f32);
  for (int k = 0; k < 6; ++k) x = matmul(x, w);
  graph.fetch(x);
  const auto tasks = [&](RunLimit limit) {
    return make_plan(graph, {.tiling = Tiling::parse("rows=1,1"), .runs = limit}).tasks.size();
  };
  EXPECT_EQ(tasks({}), 12u);
  EXPECT_EQ(tasks({.flops = 4.5 * 32, .bytes = 1e9}), 3u);
  EXPECT_EQ(tasks({.flops = 1e9, .bytes = 6.5 * 96}), 2u);
  EXPECT_EQ(tasks({.flops = 1, .bytes = 1}), 12u) << "what is more than the limit stays alone";
}

TEST(JoinRunsProperty, KeepsOrderAndResults) {
  const auto join = [](Plan& plan) {
    for (Task& task : plan.tasks) task.flops = 1;
    join_runs(plan, {.flops = 3, .bytes = 1e30});
  };
  EXPECT_GT(testing_ops::tasks_joined_by(join), 1000u);
}

}  // namespace
}  // namespace tessera
