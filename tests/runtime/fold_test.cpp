// Folding bias and residual into the matrix product before them.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "codelets/add/add.hpp"
#include "codelets/gelu/gelu.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/scale/scale.hpp"
#include "runtime/plan/passes.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/run_graph.hpp"

namespace tessera {
namespace {

using testing_ops::call;
using testing_ops::each;
using testing_ops::run_graph;

class Fold : public testing::Test {
 protected:
  std::string folded() {
    Program program(graph);
    prune(program);
    fold(program);
    return to_text(program);
  }

  // Folding moves roundings, no more.
  void expect_close() {
    const PlanOptions plain{.tiling = Tiling::parse("rows=4,3"), .fold = false}, with{.tiling = plain.tiling};
    const auto expected = run_graph(graph, plain), got = run_graph(graph, with);
    for (size_t k = 0; k < expected.size(); ++k)
      for (size_t i = 0; i < expected[k].size(); ++i) EXPECT_NEAR(got[k][i], expected[k][i], 1e-5);
  }

  Graph graph;
  Tensor x = graph.input("x", {{"rows", 7}, 3}, DType::f32);
  Tensor w = graph.variable("w", {3, 3}, DType::f32);
  Tensor bias = graph.variable("bias", {3}, DType::f32);
};

TEST_F(Fold, BiasAndResidualJoinTheProduct) {
  graph.fetch(add(x, add(matmul(x, w), bias)));
  EXPECT_EQ(to_text(Program(graph)),
            "t3 = matmul(x, w)\n"
            "t4 = add(t3, bias)\n"
            "t5 = add(x, t4)\n"
            "fetch t5\n");
  EXPECT_EQ(folded(),
            "t5 = matmul(x, w, bias, x)\n"
            "fetch t5\n");
  expect_close();
}

TEST_F(Fold, OfTwoProductsTheLaterOneTakesTheSum) {
  Tensor v = graph.variable("v", {3, 3}, DType::f32);
  Tensor first = matmul(x, w), second = matmul(x, v);
  graph.fetch(add(second, first));
  EXPECT_EQ(folded(),
            "t4 = matmul(x, w)\n"
            "t6 = matmul(x, v, t4)\n"
            "fetch t6\n");
  expect_close();
}

TEST_F(Fold, WhatIsReadTwiceOrFetchedStays) {
  Tensor y = matmul(x, w), z = matmul(y, w);
  graph.fetch(add(z, bias));
  graph.fetch(z);
  graph.fetch(add(add(y, bias), y));
  EXPECT_EQ(folded(),
            "t3 = matmul(x, w)\n"
            "t4 = matmul(t3, w)\n"
            "t5 = add(t4, bias)\n"
            "t6 = add(t3, bias)\n"
            "t7 = add(t6, t3)\n"
            "fetch t5\n"
            "fetch t4\n"
            "fetch t7\n");
}

TEST_F(Fold, AProductPlusItselfStays) {
  Tensor y = matmul(x, w);
  graph.fetch(add(y, y));
  EXPECT_EQ(folded(), "t3 = matmul(x, w)\nt4 = add(t3, t3)\nfetch t4\n");
}

TEST_F(Fold, OtherOpsEndTheChain) {
  graph.fetch(add(scale(matmul(x, w), 2), bias));
  EXPECT_EQ(folded(),
            "t3 = matmul(x, w)\n"
            "t4 = scale(t3)\n"
            "t5 = add(t4, bias)\n"
            "fetch t5\n");
}

TEST_F(Fold, DoesNotReadAVariableAfterItsUpdate) {
  Tensor y = matmul(x, w);
  call("twice", {w}, each([](const auto&, float before) { return 2 * before; }), {.in_place = 0});
  graph.fetch(add(y, bias));
  EXPECT_EQ(folded(),
            "t3 = matmul(x, w)\n"
            "t4 in w = twice(w)\n"
            "t5 = add(t3, bias)\n"
            "fetch t5\n");
  expect_close();
}

}  // namespace
}  // namespace tessera
