// Lowering: sums have exactly the shape that the tiling says, and re-tiles stand where ops disagree about
// cuts.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "codelets/add/add.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/scale/scale.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/run_graph.hpp"

namespace tessera {
namespace {

using testing_ops::call;
using testing_ops::each;
using testing_ops::run_graph;
using testing_ops::values_for;

std::string lowered(const Graph& graph, const std::string& tiling) {
  return to_text(make_plan(graph, {.tiling = Tiling::parse(tiling), .fold = false, .fuse = false}));
}

TEST(Lowering, CutsOfAGroupAreChainedAndGroupsMeetInATree) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 6}, 2}, DType::f32);
  graph.fetch(sum_rows(x));
  EXPECT_EQ(lowered(graph, "rows=6"), "0: sum_rows(x) > t1\n");
  EXPECT_EQ(lowered(graph, "rows=1x6"),
            "0: sum_rows(x[0,0]) > t1  before 1\n"
            "1: sum_rows(x[1,0]) +> t1  before 2\n"
            "2: sum_rows(x[2,0]) +> t1  before 3\n"
            "3: sum_rows(x[3,0]) +> t1  before 4\n"
            "4: sum_rows(x[4,0]) +> t1  before 5\n"
            "5: sum_rows(x[5,0]) +> t1\n");
  // Five partial sums: (0 + 1) + (2 + 3), then + 4.
  EXPECT_EQ(lowered(graph, "rows=1,1|1|1|1|1"),
            "0: sum_rows(x[0,0]) > t1  before 1\n"
            "1: sum_rows(x[1,0]) +> t1  before 6\n"
            "2: sum_rows(x[2,0]) > tmp0@7  before 6\n"
            "3: sum_rows(x[3,0]) > tmp1@8  before 7\n"
            "4: sum_rows(x[4,0]) > tmp2@9  before 7\n"
            "5: sum_rows(x[5,0]) > tmp3@10  before 9\n"
            "6: accumulate(tmp0@7) +> t1  before 8  next step 2\n"
            "7: accumulate(tmp2@9) +> tmp1@8  before 8  next step 4\n"
            "8: accumulate(tmp1@8) +> t1  before 9  next step 3\n"
            "9: accumulate(tmp3@10) +> t1  next step 5\n");
}

// The same additions in the same order, one by one in f32.
TEST(Lowering, SumsRoundAsTheTilingSays) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 9}, 1}, DType::f32);
  graph.fetch(sum_rows(x));
  const std::vector<float> v = values_for("x", 9);
  auto sum = [&](const std::string& tiling) {
    return run_graph(graph, {.tiling = Tiling::parse(tiling)})[0][0];
  };
  float chain = 0;
  for (float value : v) chain += value;
  EXPECT_EQ(sum("rows=9"), chain);
  EXPECT_EQ(sum("rows=2,3x2,1"), chain);  // chained cuts go on where the last one stopped
  const float a = (v[0] + v[1]) + v[2], b = v[3] + v[4], c = (v[5] + v[6]) + v[7];
  EXPECT_EQ(sum("rows=1,2|2|2,1|1"), (a + b) + (c + v[8]));
  EXPECT_EQ(sum("rows=3|2|3|1"), (a + b) + (c + v[8]));
  EXPECT_EQ(sum("rows=3|2|4"), (a + b) + (c + v[8]));
}

TEST(Lowering, PartialSumsOfNarrowTypesAreF32) {
  Graph graph;
  Tensor a = graph.input("a", {2, {"inner", 4}}, DType::bf16);
  Tensor b = graph.variable("b", {{"inner", 4}, 3}, DType::bf16);
  graph.fetch(matmul(a, b));
  EXPECT_EQ(lowered(graph, ""), "0: matmul(a, b) > t2\n");
  EXPECT_EQ(lowered(graph, "inner=2|2"),
            "0: matmul(a[0,0], b[0,0]) > tmp0@5  before 2\n"
            "1: matmul(a[0,1], b[1,0]) > tmp1@6  before 2\n"
            "2: accumulate(tmp1@6) +> tmp0@5  before 3  next step 1\n"
            "3: cast(tmp0@5) > t2  next step 0\n");
  EXPECT_EQ(lowered(graph, "inner=2,2"),
            "0: matmul(a[0,0], b[0,0]) > tmp0@5  before 1\n"
            "1: matmul(a[0,1], b[1,0]) +> tmp0@5  before 2\n"
            "2: cast(tmp0@5) > t2  next step 0\n");
}

TEST(Lowering, RetilesWhereCutsDiffer) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 4}, 2}, DType::f32);
  Tensor y = graph.input("y", {{"others", 4}, 2}, DType::f32);
  graph.fetch(add(x, y));
  EXPECT_EQ(lowered(graph, "rows=2,2 others=1,3"),
            "0: retile(y[0,0], y[1,0]) > tmp0@6  before 2\n"
            "1: retile(y[1,0]) > tmp1@7  before 3\n"
            "2: add(x[0,0], tmp0@6) > t2[0,0]  next step 0\n"
            "3: add(x[1,0], tmp1@7) > t2[1,0]  next step 1\n");
  EXPECT_THAT(make_plan(graph, {.tiling = Tiling::parse("rows=2,2 others=1,3")}).notes,
              testing::ElementsAre("add: input 1 is re-tiled (2 tiles)"));
  // Groups are about sums: the same bounds in other groups are the same tiles.
  const Plan alike = make_plan(graph, {.tiling = Tiling::parse("rows=2,2 others=2|2"), .fuse = false});
  EXPECT_EQ(to_text(alike), "0: add(x[0,0], y[0,0]) > t2[0,0]\n1: add(x[1,0], y[1,0]) > t2[1,0]\n");
  EXPECT_TRUE(alike.notes.empty());
}

TEST(Lowering, FetchesOfVariablesAreCopiesInPlace) {
  Graph graph;
  Tensor w = graph.variable("w", {2}, DType::f32);
  graph.fetch(w);
  auto twice = each([](const auto&, float before) { return 2 * before; });
  Tensor once = call("twice", {w}, twice, {.in_place = 0});
  Tensor again = call("twice", {once}, twice, {.in_place = 0});
  graph.fetch(again);
  graph.fetch(once);
  EXPECT_EQ(lowered(graph, ""),
            "0: retile(w) > fetch w  before 1\n"
            "1: twice() +> w  before 2\n"
            "2: retile(w) > fetch t1  before 3\n"
            "3: twice() +> w  before 4  next step 0\n"
            "4: retile(w) > fetch t2  next step 1\n");
  const std::vector<float> start = values_for("w", 2);
  const auto fetched = run_graph(graph, {}, 2);  // of the second step
  EXPECT_EQ(fetched[0], (std::vector{4 * start[0], 4 * start[1]}));
  EXPECT_EQ(fetched[1], (std::vector{16 * start[0], 16 * start[1]}));
  EXPECT_EQ(fetched[2], (std::vector{8 * start[0], 8 * start[1]}));
}

TEST(Lowering, RefusesCutsOfAnotherSize) {
  struct Wrong final : Op {
    std::string_view name() const override { return "wrong"; }
    std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
    void lower(Lowering& to) const override { to.in(0, Cuts(5), Cuts(2)); }
    void reference(HostIn, HostOut) const override {}
  };
  Graph graph;
  graph.fetch(graph.apply1(std::make_shared<Wrong>(), {graph.input("x", {{"rows", 4}, 2}, DType::f32)}));
  EXPECT_THAT(
      [&] { make_plan(graph, {}); },
      testing::ThrowsMessage<Error>("wrong: input 0 is [rows 4, 2], which cuts of [5, 2] do not cover"));
}

}  // namespace
}  // namespace tessera
