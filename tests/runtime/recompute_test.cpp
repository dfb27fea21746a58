// Recomputation of blocks and of attention: which ops run twice, and that nothing changes by it.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "codelets/add/add.hpp"
#include "codelets/gelu/gelu.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/plan/memory.hpp"
#include "runtime/plan/passes.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/run_graph.hpp"

namespace tessera {
namespace {

using testing_ops::call;
using testing_ops::each;
using testing_ops::run_graph;

// Two blocks of a product, an activation and another product, then a loss; weights updated in place.
class RecomputeTest : public testing::Test {
 protected:
  Tensor block(Tensor in, int i, const char* inner) {
    const Graph::Scope scope(graph, "block" + std::to_string(i));
    const std::string number = std::to_string(weights.size() / 2);
    Tensor up = graph.variable("up" + number, {3, 5}, DType::f32);
    Tensor down = graph.variable("down" + number, {5, 3}, DType::f32);
    weights.insert(weights.end(), {up, down});
    const Graph::Scope part(graph, inner);
    return add(in, matmul(gelu(matmul(in, up)), down));
  }

  void train(Tensor y) {
    Tensor head = graph.variable("head", {3, 1}, DType::f32);
    Tensor loss = sum_rows(matmul(y, head));
    graph.fetch(loss);
    weights.push_back(head);
    const std::vector<Tensor> gradients = graph.grad(loss, weights);
    for (size_t k = 0; k < weights.size(); ++k)
      graph.fetch(call("update", {weights[k], gradients[k]},
                       each([](const auto& d, float w) { return w - 0.01f * d[0]; }), {.in_place = 0}));
  }

  std::string text(Recompute what) {
    Program program(graph);
    prune(program);
    recompute(program, what);
    return to_text(program);
  }

  Graph graph;
  std::vector<Tensor> weights;
  Tensor x = graph.input("x", {{"rows", 8}, 3}, DType::f32);
};

TEST_F(RecomputeTest, RepeatsABlockBeforeItsBackwardPass) {
  train(block(x, 0, "ffn"));
  EXPECT_EQ(text(Recompute::none),
            "t3 = block0/ffn/matmul(x, up0)\n"
            "t4 = block0/ffn/gelu(t3)\n"
            "t5 = block0/ffn/matmul(t4, down0)\n"
            "t6 = block0/ffn/add(x, t5)\n"
            "t8 = matmul(t6, head)\n"
            "t9 = sum(t8)\n"
            "t11 = spread_rows(loss_scale) backward\n"
            "t12 = matmul(t11, head) backward\n"
            "t13 = matmul(t6, t11) backward\n"
            "t14 = block0/ffn/matmul(t12, down0) backward\n"
            "t15 = block0/ffn/matmul(t4, t12) backward\n"
            "t16 = block0/ffn/gelu_backward(t3, t14) backward\n"
            "t18 = block0/ffn/matmul(x, t16) backward\n"
            "t19 in up0 = update(up0, t18)\n"
            "t20 in down0 = update(down0, t15)\n"
            "t21 in head = update(head, t13)\n"
            "fetch t9\nfetch t19\nfetch t20\nfetch t21\n");
  // t22 and t23 are t3 and t4 again; what the backward pass does not read is not repeated.
  EXPECT_EQ(text(Recompute::block),
            "t3 = block0/ffn/matmul(x, up0)\n"
            "t4 = block0/ffn/gelu(t3)\n"
            "t5 = block0/ffn/matmul(t4, down0)\n"
            "t6 = block0/ffn/add(x, t5)\n"
            "t8 = matmul(t6, head)\n"
            "t9 = sum(t8)\n"
            "t11 = spread_rows(loss_scale) backward\n"
            "t12 = matmul(t11, head) backward\n"
            "t13 = matmul(t6, t11) backward\n"
            "t22 = block0/ffn/matmul(x, up0)\n"
            "t23 = block0/ffn/gelu(t22)\n"
            "t14 = block0/ffn/matmul(t12, down0) backward\n"
            "t15 = block0/ffn/matmul(t23, t12) backward\n"
            "t16 = block0/ffn/gelu_backward(t22, t14) backward\n"
            "t18 = block0/ffn/matmul(x, t16) backward\n"
            "t19 in up0 = update(up0, t18)\n"
            "t20 in down0 = update(down0, t15)\n"
            "t21 in head = update(head, t13)\n"
            "fetch t9\nfetch t19\nfetch t20\nfetch t21\n");
}

// Names of the op uses that run a second time, in their order.
std::string repeated(const std::string& before, const std::string& after) {
  std::set<std::string> known;
  std::string line, text;
  for (std::istringstream lines(before); std::getline(lines, line);)
    known.insert(line.substr(0, line.find(" = ")));
  for (std::istringstream lines(after); std::getline(lines, line);)
    if (!known.contains(line.substr(0, line.find(" = ")))) text += line.substr(line.find(" = ") + 3) + "\n";
  return text;
}

TEST_F(RecomputeTest, RepeatsOnlyAttention) {
  train(block(block(x, 0, "attention"), 0, "ffn"));
  EXPECT_EQ(repeated(text(Recompute::none), text(Recompute::attention)),
            "block0/attention/matmul(x, up0)\n"
            "block0/attention/gelu(t36)\n");
}

TEST_F(RecomputeTest, TakesWholeWordsOfAScope) {
  train(block(block(x, 0, "attention_norm"), 0, "self_attention"));
  EXPECT_EQ(text(Recompute::attention), text(Recompute::none));
}

TEST_F(RecomputeTest, BlocksStartFromWhatTheForwardPassKept) {
  train(block(block(x, 0, "ffn"), 1, "ffn"));
  EXPECT_EQ(repeated(text(Recompute::none), text(Recompute::block)),
            "block1/ffn/matmul(t6, up1)\n"
            "block1/ffn/gelu(t36)\n"
            "block0/ffn/matmul(x, up0)\n"
            "block0/ffn/gelu(t40)\n");
}

TEST_F(RecomputeTest, UpdatesAreNotRepeated) {
  Tensor y = block(x, 0, "ffn");
  {
    const Graph::Scope scope(graph, "block0");
    Tensor seen = graph.variable("seen", {{"rows", 8}, 3}, DType::f32);
    call("count", {seen, y}, each([](const auto&, float n) { return n + 1; }), {.in_place = 0});
  }
  train(y);
  EXPECT_EQ(text(Recompute::block), text(Recompute::none));
}

TEST_F(RecomputeTest, WhatIsUpdatedMeanwhileIsNotReadAgain) {
  Tensor y = block(x, 0, "ffn");
  call("decay", {weights[0]}, each([](const auto&, float w) { return w / 2; }), {.in_place = 0});
  train(y);
  EXPECT_EQ(text(Recompute::block), text(Recompute::none));
}

TEST_F(RecomputeTest, OptimizersInABlocksScopeAreNoPartOfIt) {
  Tensor y = block(x, 0, "ffn");
  const Graph::Scope scope(graph, "block0");
  train(y);
  const std::string after = text(Recompute::block);
  EXPECT_NE(after, text(Recompute::none));
  EXPECT_EQ(repeated(text(Recompute::none), after).find("update"), std::string::npos);
}

TEST_F(RecomputeTest, GivesTheSameBits) {
  train(block(block(block(x, 0, "attention"), 0, "ffn"), 1, "ffn"));
  const Tiling tiling = Tiling::parse("rows=2,1|1|1,3");
  const auto expected = run_graph(graph, {.tiling = tiling}, 3);
  EXPECT_NE(run_graph(graph, {.tiling = Tiling::parse("rows=1x8")}, 3), expected) << "sums of another shape";
  for (Recompute what : {Recompute::attention, Recompute::block})
    for (bool fuse : {false, true})
      for (int parts : {1, 2})
        EXPECT_EQ(
            run_graph(graph, {.tiling = tiling, .recompute = what, .micro_batches = parts, .fuse = fuse}, 3),
            expected);
}

TEST_F(RecomputeTest, KeepsLessMemory) {
  Tensor y = x;
  for (int i = 0; i < 12; ++i) y = block(y, i, "ffn");
  train(y);
  const Tiling tiling = Tiling::parse("rows=4,4");
  const Plan kept = make_plan(graph, {.tiling = tiling});
  const Plan again = make_plan(graph, {.tiling = tiling, .recompute = Recompute::block});
  // Of a block, one tensor of three columns instead of thirteen.
  EXPECT_LT(again.intermediate_bytes(), 0.6 * static_cast<double>(kept.intermediate_bytes()));
  EXPECT_LT(activation_bytes(again), 0.5 * static_cast<double>(activation_bytes(kept)));
  EXPECT_LE(activation_bytes(kept), kept.intermediate_bytes());
}

}  // namespace
}  // namespace tessera
