// Micro-batches: an order of tasks, not another computation.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "codelets/matmul/matmul.hpp"
#include "codelets/scale/scale.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/run_graph.hpp"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing_ops::call;
using testing_ops::each;
using testing_ops::run_graph;

class MicroBatches : public testing::Test {
 protected:
  MicroBatches() {
    Tensor y = x;
    for (int i = 0; i < 3; ++i) {
      weights.push_back(graph.variable("w" + std::to_string(i), {4, 4}, DType::f32));
      y = matmul(y, weights.back());
    }
    weights.push_back(graph.variable("head", {4, 1}, DType::f32));
    Tensor loss = sum_rows(matmul(y, weights.back()));
    graph.fetch(loss);
    const std::vector<Tensor> gradients = graph.grad(loss, weights);
    for (size_t k = 0; k < weights.size(); ++k)
      graph.fetch(call("update", {weights[k], gradients[k]},
                       each([](const auto& d, float w) { return w - 0.01f * d[0]; }), {.in_place = 0}));
  }

  PlanOptions parts(int count) const { return {.tiling = tiling, .micro_batches = count}; }

  Graph graph;
  Tensor x = graph.input("x", {{"rows", 8}, 4}, DType::f32);
  std::vector<Tensor> weights;
  const Tiling tiling = Tiling::parse("rows=2|1,1|2|2");
};

// A variable's tiles that are cut otherwise are not kept from the first part to the last.
TEST(MicroBatchLayouts, AreMadeAgainInEveryPart) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 4}, {"inner", 12}}, DType::f32);
  Tensor w = graph.variable("w", {{"other", 12}, 6}, DType::f32);
  graph.fetch(sum_rows(matmul(x, w)));
  PlanOptions options{.tiling = Tiling::parse("rows=1x4 inner=6x2 other=5,7")};
  const auto parts_of_retiles = [&] {
    std::vector<int> parts;
    for (const Task& task : make_plan(graph, options).tasks)
      if (task.label.starts_with("retile")) parts.push_back(task.micro_batch);
    return parts;
  };
  EXPECT_THAT(parts_of_retiles(), ElementsAre(0, 0));
  const auto at_once = run_graph(graph, options);
  options.micro_batches = 2;
  EXPECT_THAT(parts_of_retiles(), ElementsAre(0, 0, 1, 1));
  EXPECT_EQ(run_graph(graph, options), at_once);
}

// The update runs in the first part; the second one is to read the layout from before it.
TEST(MicroBatchLayouts, AreKeptWhereTheVariableChangesMeanwhile) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 4}, {"inner", 12}}, DType::f32);
  Tensor w = graph.variable("w", {{"other", 12}, 6}, DType::f32);
  Tensor y = matmul(x, w);
  graph.fetch(sum_rows(y));
  graph.fetch(call("update", {w, graph.input("d", {{"other", 12}, 6}, DType::f32)},
                   each([](const auto& d, float v) { return v - d[0]; }), {.in_place = 0}));
  PlanOptions options{.tiling = Tiling::parse("rows=1x4 inner=6x2 other=5,7")};
  const auto at_once = run_graph(graph, options, 3);
  options.micro_batches = 2;
  EXPECT_EQ(run_graph(graph, options, 3), at_once);
}

TEST(MicroBatchOrder, ComesBeforeEverythingElse) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 4}, 2}, DType::f32);
  graph.fetch(sum_rows(scale(x, 2)));
  PlanOptions options{.tiling = Tiling::parse("rows=1x4"), .fuse = false};
  EXPECT_EQ(to_text(make_plan(graph, options)),
            "0: scale(x[0,0]) > t1[0,0]@5  before 4\n"
            "1: scale(x[1,0]) > t1[1,0]@6  before 5\n"
            "2: scale(x[2,0]) > t1[2,0]@7  before 6\n"
            "3: scale(x[3,0]) > t1[3,0]@8  before 7\n"
            "4: sum_rows(t1[0,0]@5) > t2  before 5  next step 0\n"
            "5: sum_rows(t1[1,0]@6) +> t2  before 6  next step 1\n"
            "6: sum_rows(t1[2,0]@7) +> t2  before 7  next step 2\n"
            "7: sum_rows(t1[3,0]@8) +> t2  next step 3\n");
  options.micro_batches = 2;
  EXPECT_EQ(to_text(make_plan(graph, options)),
            "micro-batch 0:\n"
            "0: scale(x[0,0]) > t1[0,0]@5  before 2\n"
            "1: scale(x[1,0]) > t1[1,0]@6  before 3\n"
            "2: sum_rows(t1[0,0]@5) > t2  before 3  next step 0\n"
            "3: sum_rows(t1[1,0]@6) +> t2  before 6  next step 1\n"
            "micro-batch 1:\n"
            "4: scale(x[2,0]) > t1[2,0]@7  before 6\n"
            "5: scale(x[3,0]) > t1[3,0]@8  before 7\n"
            "6: sum_rows(t1[2,0]@7) +> t2  before 7  next step 4\n"
            "7: sum_rows(t1[3,0]@8) +> t2  next step 5\n");
}

TEST_F(MicroBatches, GiveTheSameBits) {
  const auto expected = run_graph(graph, parts(1), 4);
  EXPECT_EQ(run_graph(graph, parts(2), 4), expected);
  EXPECT_EQ(run_graph(graph, parts(4), 4), expected);
}

TEST_F(MicroBatches, NeedLessMemory) {
  EXPECT_LT(make_plan(graph, parts(4)).intermediate_bytes(), make_plan(graph, parts(1)).intermediate_bytes());
}

TEST_F(MicroBatches, NeedCutsBetweenThem) {
  EXPECT_THAT([&] { make_plan(graph, parts(3)); },
              testing::ThrowsMessage<Error>("8 rows do not split into 3 micro-batches"));
  EXPECT_THAT([&] { make_plan(graph, parts(8)); },
              testing::ThrowsMessage<Error>(
                  "tiling: rows 0 to 2 lie in two micro-batches of 1 rows; cut at multiples of 1"));
  EXPECT_THAT(
      [&] { make_plan(graph, {.micro_batches = 2}); },
      testing::ThrowsMessage<Error>(testing::HasSubstr("rows 0 to 8 lie in two micro-batches of 4 rows")));
}

}  // namespace
}  // namespace tessera
