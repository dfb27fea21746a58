// Fusing light tasks with their neighbours.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "codelets/add/add.hpp"
#include "codelets/gelu/gelu.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/scale/scale.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/plan/passes.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/random_plan.hpp"

namespace tessera {
namespace {

class Fuse : public testing::Test {
 protected:
  std::string plan(bool fuse, const std::string& tiling = "rows=1,1") {
    return to_text(make_plan(graph, {.tiling = Tiling::parse(tiling), .fold = false, .fuse = fuse}));
  }

  Graph graph;
  Tensor x = graph.input("x", {{"rows", 2}, 4}, DType::f32);
  Tensor w = graph.variable("w", {4, 4}, DType::f32);
  Tensor v = graph.variable("v", {4, {"cols", 4}}, DType::f32);
};

TEST_F(Fuse, ALightTaskJoinsItsOnlyPredecessor) {
  graph.fetch(gelu(matmul(x, w)));
  EXPECT_EQ(plan(false),
            "0: matmul(x[0,0], w) > t3[0,0]@5  before 2\n"
            "1: matmul(x[1,0], w) > t3[1,0]@6  before 3\n"
            "2: gelu(t3[0,0]@5) > t4[0,0]  next step 0\n"
            "3: gelu(t3[1,0]@6) > t4[1,0]  next step 1\n");
  EXPECT_EQ(plan(true),
            "0: matmul(x[0,0], w) > t3[0,0]~; gelu(t3[0,0]~) > t4[0,0]\n"
            "1: matmul(x[1,0], w) > t3[1,0]~; gelu(t3[1,0]~) > t4[1,0]\n");
}

TEST_F(Fuse, ALightTaskJoinsItsOnlySuccessorOnTheSameRows) {
  graph.fetch(matmul(add(scale(x, 2), x), w));
  EXPECT_EQ(plan(false),
            "0: scale(x[0,0]) > t3[0,0]@5  before 2\n"
            "1: scale(x[1,0]) > t3[1,0]@6  before 3\n"
            "2: add(t3[0,0]@5, x[0,0]) > t4[0,0]@7  before 4  next step 0\n"
            "3: add(t3[1,0]@6, x[1,0]) > t4[1,0]@8  before 5  next step 1\n"
            "4: matmul(t4[0,0]@7, w) > t5[0,0]  next step 2\n"
            "5: matmul(t4[1,0]@8, w) > t5[1,0]  next step 3\n");
  EXPECT_EQ(plan(true),
            "0: scale(x[0,0]) > t3[0,0]~; add(t3[0,0]~, x[0,0]) > t4[0,0]~; matmul(t4[0,0]~, w) > t5[0,0]\n"
            "1: scale(x[1,0]) > t3[1,0]~; add(t3[1,0]~, x[1,0]) > t4[1,0]~; matmul(t4[1,0]~, w) > t5[1,0]\n");
}

TEST_F(Fuse, NotWhereSeveralReadIt) {
  graph.fetch(matmul(scale(x, 2), v));
  EXPECT_EQ(plan(true, "rows=1,1 cols=2,2"),
            "0: scale(x[0,0]) > t3[0,0]@8  before 2 3\n"
            "1: scale(x[1,0]) > t3[1,0]@9  before 4 5\n"
            "2: matmul(t3[0,0]@8, v[0,0]) > t4[0,0]  next step 0\n"
            "3: matmul(t3[0,0]@8, v[0,1]) > t4[0,1]  next step 0\n"
            "4: matmul(t3[1,0]@9, v[0,0]) > t4[1,0]  next step 1\n"
            "5: matmul(t3[1,0]@9, v[0,1]) > t4[1,1]  next step 1\n");
}

TEST_F(Fuse, WhatSpreadsOverRowsStaysParallel) {
  Tensor total = sum_rows(x);
  Tensor y = testing_ops::call_many("spread", {total}, {x.type()}, nullptr, {.light = true})[0];
  graph.fetch(y);
  EXPECT_EQ(plan(true),
            "0: sum_rows(x[0,0]) > t3@4; sum_rows(x[1,0]) +> t3@4  before 1 2\n"
            "1: spread(t3@4) > t4[0,0]  next step 0\n"
            "2: spread(t3@4) > t4[1,0]  next step 0\n");
}

TEST_F(Fuse, HeavyTasksStayApart) {
  graph.fetch(matmul(matmul(x, w), w));
  EXPECT_EQ(plan(true, "rows=2"), plan(false, "rows=2"));
}

TEST_F(Fuse, TasksKeepALimitedLength) {
  Tensor y = x;
  for (int i = 0; i < 20; ++i) y = scale(y, 2);
  graph.fetch(y);
  const Plan fused = make_plan(graph, {.tiling = Tiling::parse("rows=2")});
  ASSERT_EQ(fused.tasks.size(), 3u);
  for (const Task& task : fused.tasks) EXPECT_LE(task.stages.size(), 8u);
}

TEST_F(Fuse, ExternalTasksStayApart) {
  graph.fetch(scale(matmul(x, w), 2));
  Plan unfused = make_plan(graph, {.fuse = false});
  unfused.tasks[0].stages[0].kernel = nullptr;
  const size_t before = unfused.tasks.size();
  fuse(unfused);
  EXPECT_EQ(unfused.tasks.size(), before);
}

TEST(FuseProperty, KeepsOrderAndResults) {
  EXPECT_GT(testing_ops::tasks_joined_by(fuse), 1000u);  // the plans were worth it
}

}  // namespace
}  // namespace tessera
