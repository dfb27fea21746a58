// The tensor graph and its gradients: shared inputs, shadows, unused outputs, and what mistakes are told.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/graph/graph.hpp"

#include <gmock/gmock.h>

#include "codelets/add/add.hpp"
#include "codelets/cast/cast.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/scale/scale.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using testing_ops::call;

std::string text_of(const Graph& graph) { return to_text(Program(graph)); }

// d x = d y · factor, and the other output is never differentiated.
struct TwoResults final : Op {
  std::string_view name() const override { return "two_results"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0], in[0]}; }
  std::vector<Tensor> grad(const GradArgs& args) const override {
    EXPECT_TRUE(args.d_out[0]);
    EXPECT_FALSE(args.d_out[1]);
    return {scale(args.d_out[0], 3)};
  }
  void lower(Lowering&) const override {}
  void reference(HostIn, HostOut) const override {}
};

TEST(Graph, FindsInputsAndVariablesByName) {
  Graph graph;
  Tensor x = graph.input("x", {2, 3}, DType::f32);
  Tensor w = graph.variable("w", {3, 1}, DType::f32);
  Tensor y = matmul(x, w);
  EXPECT_EQ(graph.find("x"), x);
  EXPECT_EQ(graph.find("w"), w);
  EXPECT_FALSE(graph.find("matmul"));  // results have no name of their own
  EXPECT_EQ(y.name(), "matmul");
  EXPECT_THAT([&] { graph.variable("x", {1}, DType::f32); }, ThrowsMessage<Error>(HasSubstr("named 'x'")));
  EXPECT_THAT([&] { graph.input("w", {1}, DType::f32); }, ThrowsMessage<Error>(HasSubstr("named 'w'")));
}

TEST(Graph, ScopesNameOpUses) {
  Graph graph;
  Tensor x = graph.input("x", {2, 3}, DType::f32);
  {
    const Graph::Scope block(graph, "block0");
    x = scale(x, 2);
    const Graph::Scope inner(graph, "mlp");
    x = scale(x, 3);
  }
  graph.fetch(scale(x, 4));
  EXPECT_EQ(text_of(graph),
            "t1 = block0/scale(x)\n"
            "t2 = block0/mlp/scale(t1)\n"
            "t3 = scale(t2)\n"
            "fetch t3\n");
}

TEST(Graph, FetchesATensorOnce) {
  Graph graph;
  Tensor y = scale(graph.input("x", {2}, DType::f32), 2);
  graph.fetch(y);
  graph.fetch(y);
  EXPECT_EQ(graph.fetches().size(), 1u);
}

TEST(Graph, ShadowsAreOnePerVariableAndType) {
  Graph graph;
  Tensor w = graph.variable("w", {3, 2}, DType::f32);
  Tensor low = graph.shadow(w, DType::bf16);
  EXPECT_EQ(low, graph.shadow(w, DType::bf16));
  EXPECT_EQ(w, graph.shadow(w, DType::f32));
  EXPECT_EQ(graph.info(low).shadow_of, w.id);
  EXPECT_EQ(low.name(), "w:bf16");
  Tensor x = graph.input("x", {2}, DType::f32);
  EXPECT_THAT([&] { graph.shadow(x, DType::bf16); },
              ThrowsMessage<Error>(HasSubstr("'x' is not a variable")));
}

TEST(Graph, MistakesNameOpAndShapes) {
  Graph graph, other;
  Tensor x = graph.input("x", {{"rows", 4}, 3}, DType::f32);
  Tensor w = graph.variable("w", {5, 2}, DType::f32);
  EXPECT_THAT([&] { matmul(x, w); }, ThrowsMessage<Error>("matmul: [rows 4, 3] · [5, 2] do not fit"));
  EXPECT_THAT([&] { matmul(x, w, {.transpose_b = true}); },
              ThrowsMessage<Error>("matmul: [rows 4, 3] · [5, 2]ᵀ do not fit"));
  EXPECT_THAT([&] { add(x, w); }, ThrowsMessage<Error>("add: [rows 4, 3] and [5, 2] do not fit"));
  EXPECT_THAT([&] { add(x, cast(x, DType::bf16)); },
              ThrowsMessage<Error>(HasSubstr("add: [rows 4, 3] of f32 and [rows 4, 3] of bf16")));
  EXPECT_THAT([&] { sum_rows(graph.input("v", {3}, DType::f32)); },
              ThrowsMessage<Error>(HasSubstr("sum: [3]")));
  Tensor y = other.input("y", {{"rows", 4}, 3}, DType::f32);
  EXPECT_THAT([&] { add(x, y); }, ThrowsMessage<Error>("add: an input is empty or belongs to another graph"));
  EXPECT_EQ(graph.nodes().size(), 1u);  // the cast; what was refused left nothing
}

TEST(Grad, OfAChain) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 4}, 3}, DType::f32);
  Tensor w = graph.variable("w", {3, 1}, DType::f32);
  Tensor loss = sum_rows(matmul(x, w));
  const std::vector<Tensor> gradients = graph.grad(loss, std::vector{w});
  EXPECT_TRUE(gradients[0].shape().same_sizes(w.shape()));
  EXPECT_EQ(graph.find("loss_scale").id, 4);
  EXPECT_EQ(graph.info(graph.find("loss_scale")).init.mean, 1);
  // The product's gradient towards x is appended as well; nobody reads it, so plans prune it.
  EXPECT_EQ(text_of(graph),
            "t2 = matmul(x, w)\n"
            "t3 = sum(t2)\n"
            "t5 = spread_rows(loss_scale) backward\n"
            "t6 = matmul(t5, w) backward\n"
            "t7 = matmul(x, t5) backward\n");
  EXPECT_EQ(gradients[0].id, 7);
}

TEST(Grad, SharedInputsAddUp) {
  Graph graph;
  Tensor x = graph.variable("x", {2, 1}, DType::f32);
  Tensor twice = add(x, x);                             // both operands
  Tensor loss = sum_rows(add(scale(twice, 5), twice));  // two readers
  const std::vector<Tensor> gradients = graph.grad(loss, std::vector{x});
  EXPECT_EQ(text_of(graph),
            "t1 = add(x, x)\n"
            "t2 = scale(t1)\n"
            "t3 = add(t2, t1)\n"
            "t4 = sum(t3)\n"
            "t6 = spread_rows(loss_scale) backward\n"
            "t7 = scale(t6) backward\n"
            "t8 = add(t6, t7) backward\n"
            "t9 = add(t8, t8) backward\n");
  EXPECT_EQ(gradients[0].id, 9);
}

TEST(Grad, ReachesVariablesThroughShadows) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 4}, 3}, DType::bf16);
  Tensor w = graph.variable("w", {3, 1}, DType::f32);
  Tensor low = graph.shadow(w, DType::bf16);
  Tensor loss = add(sum_rows(matmul(x, low)), sum_rows(w));  // used in both precisions
  const std::vector<Tensor> gradients = graph.grad(loss, std::vector{w, low, w});
  EXPECT_EQ(gradients[0].dtype(), DType::f32);
  EXPECT_EQ(gradients[1].dtype(), DType::f32);
  EXPECT_EQ(gradients[0], gradients[2]);
  const Node& last = graph.nodes().back();  // one sum of the two, however often it is asked for
  EXPECT_EQ(last.op->name(), "add");
  EXPECT_EQ(last.out[0], gradients[0]);
  EXPECT_EQ(last.in[1], gradients[1]);
  EXPECT_GE(last.backward_of, 0);
}

TEST(Grad, OfResultsStopsThere) {
  Graph graph;
  Tensor x = graph.input("x", {2, 1}, DType::f32);
  Tensor opaque = call("opaque", {x}, nullptr);  // has no gradient, and none is needed
  Tensor y = scale(opaque, 2);
  const std::vector<Tensor> gradients = graph.grad(sum_rows(y), std::vector{opaque, y});
  ASSERT_TRUE(gradients[0]);
  ASSERT_TRUE(gradients[1]);
  EXPECT_EQ(text_of(graph),
            "t1 = opaque(x)\n"
            "t2 = scale(t1)\n"
            "t3 = sum(t2)\n"
            "t5 = spread_rows(loss_scale) backward\n"
            "t6 = scale(t5) backward\n");
  EXPECT_EQ(gradients[0].id, 6);
  EXPECT_EQ(gradients[1].id, 5);
}

TEST(Grad, UnusedOutputsHaveNone) {
  Graph graph;
  Tensor x = graph.variable("x", {2, 1}, DType::f32);
  Tensor y = graph.variable("y", {2, 1}, DType::f32);
  Tensor first = graph.apply(std::make_shared<TwoResults>(), {x})[0];
  const std::vector<Tensor> gradients = graph.grad(sum_rows(first), std::vector{x, y});
  EXPECT_TRUE(gradients[0]);
  EXPECT_FALSE(gradients[1]);  // the loss does not depend on it
}

TEST(Grad, OpsOffThePathAreNotDifferentiated) {
  Graph graph;
  Tensor x = graph.variable("x", {2, 1}, DType::f32);
  call("opaque", {x}, nullptr);  // reads x, but the loss does not read it
  EXPECT_TRUE(graph.grad(sum_rows(x), std::vector{x})[0]);
}

TEST(Grad, StartsFromTheGivenScale) {
  Graph graph;
  Tensor x = graph.variable("x", {2, 1}, DType::f32);
  Tensor seed = graph.input("seed", {1}, DType::f32);
  graph.grad(sum_rows(x), std::vector{x}, seed);
  EXPECT_FALSE(graph.find("loss_scale"));
  EXPECT_EQ(graph.nodes().back().in[0], seed);
}

TEST(Grad, KeepsTheScopesOfTheForwardPass) {
  Graph graph;
  Tensor x = graph.variable("x", {2, 1}, DType::f32);
  Tensor y;
  {
    const Graph::Scope block(graph, "block0");
    y = scale(x, 2);
  }
  const Graph::Scope outer(graph, "loss");
  const Tensor d = graph.grad(sum_rows(y), std::vector{x})[0];
  EXPECT_EQ(graph.nodes()[static_cast<size_t>(graph.info(d).producer)].scope, "block0");
  scale(d, 2);
  EXPECT_EQ(graph.nodes().back().scope, "loss");
  EXPECT_EQ(graph.nodes().back().backward_of, -1);
}

TEST(Grad, MistakesNameOpAndShapes) {
  Graph graph, other;
  Tensor x = graph.variable("x", {{"rows", 4}, 1}, DType::f32);
  Tensor opaque = call("opaque", {x}, nullptr);
  const std::vector wrt{x};
  EXPECT_THAT([&] { graph.grad(x, wrt); },
              ThrowsMessage<Error>("grad: the loss is [rows 4, 1] of f32, not one f32"));
  EXPECT_THAT([&] { graph.grad(cast(sum_rows(x), DType::bf16), wrt); },
              ThrowsMessage<Error>("grad: the loss is [1] of bf16, not one f32"));
  EXPECT_THAT([&] { graph.grad({}, wrt); }, ThrowsMessage<Error>(HasSubstr("the loss is empty")));
  Tensor loss = sum_rows(opaque);
  EXPECT_THAT([&] { graph.grad(loss, std::vector{Tensor{}}); },
              ThrowsMessage<Error>(HasSubstr("a tensor is empty")));
  {
    const Graph::Scope scope(graph, "here");
    EXPECT_THAT([&] { graph.grad(loss, wrt); }, ThrowsMessage<Error>("opaque([rows 4, 1]): has no gradient"));
    scale(x, 2);
  }
  EXPECT_EQ(graph.nodes().back().scope, "here");  // as if the attempt had not been made
  EXPECT_EQ(graph.nodes().back().backward_of, -1);
}

}  // namespace
}  // namespace tessera
