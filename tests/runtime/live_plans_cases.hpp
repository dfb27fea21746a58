// Several plans alive over the same variables, their shadows, and the host in between; for every engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/core/error.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/engines.hpp"

namespace tessera::testing_ops {

constexpr int64_t weights = 6;
inline const Shape weight_shape{{"ffn", weights}};
inline const char* const weight_tiling = "ffn=2,1|3";

inline float narrowed(float value) { return static_cast<float>(bf16(value)); }

// y = f(w), or f of what w is in bf16.
struct Reading {
  Graph graph;
  Tensor y;

  explicit Reading(DType dtype) {
    Tensor w = graph.variable("w", weight_shape, DType::f32, {.mean = 0.7f});
    y = call_many("read", {graph.shadow(w, dtype)}, {{weight_shape, DType::f32}}, [](const TileArgs& args) {
      for (int64_t i = 0; i < args[1].size(); ++i)
        args[1].as<float>()[i] =
            args[0].dtype == DType::f32 ? args[0].as<float>()[i] : static_cast<float>(args[0].as<bf16>()[i]);
    })[0];
    graph.fetch(y);
  }
  Plan plan() const { return make_plan(graph, {.tiling = Tiling::parse(weight_tiling)}); }
};

// w += x; where asked, the bf16 copy is brought up to date by the plan itself.
struct Updating {
  Graph graph;
  Tensor x = graph.input("x", {1}, DType::f32);

  explicit Updating(bool with_shadow) {
    Tensor w = graph.variable("w", weight_shape, DType::f32, {.mean = 0.7f});
    Tensor after =
        call("update", {w, x}, each([](const auto& v, float old) { return old + v[0]; }), {.in_place = 0});
    if (!with_shadow) return;
    call("narrow", {graph.shadow(w, DType::bf16), after},
         [](const TileArgs& args) {
           for (int64_t i = 0; i < args[1].size(); ++i) args[1].as<bf16>()[i] = bf16(args[0].as<float>()[i]);
         },
         {.in_place = 0});
  }
  Plan plan() const { return make_plan(graph, {.tiling = Tiling::parse(weight_tiling)}); }
};

class LivePlansTest : public EngineTest {};

TEST_P(LivePlansTest, SeeEachOthersUpdates) {
  Updating train(false), train_both(true);
  Reading evaluate(DType::f32), serve(DType::bf16);
  Session session(GetParam());
  Executor trainer(session, train.plan(), {.poison = true}),
      both(session, train_both.plan(), {.poison = true});
  Executor evaluator(session, evaluate.plan(), {.poison = true}),
      server(session, serve.plan(), {.poison = true});
  float expected = 0.7f;
  auto look = [&](int turn) {
    const std::vector<float> wide(weights, expected), narrow(weights, narrowed(expected));
    if (turn & 1) {
      EXPECT_EQ(evaluator.run().get(evaluate.y), wide) << turn;
    }
    if (turn & 2) {
      EXPECT_EQ(server.run().get(serve.y), narrow) << turn;
    }
    if (turn & 4) {
      EXPECT_EQ(session.get("w"), wide) << turn;
    }
    if (turn & 8) {
      EXPECT_EQ(server.run().get(serve.y), narrow) << turn;
    }
  };
  look(15);
  for (int turn = 0; turn < 45; ++turn) {
    const float add = 0.01f * static_cast<float>(turn % 7);
    Executor& chosen = turn % 5 < 3 ? trainer : both;
    const Tensor x = turn % 5 < 3 ? train.x : train_both.x;
    for (int step = 0; step <= turn % 3; ++step, expected += add) chosen.run({{x, std::vector{add}}});
    look(turn);
    if (turn % 11 == 0) {
      expected = static_cast<float>(turn);
      session.set("w", std::vector<float>(weights, expected));
      look(turn / 11);
    }
  }
}

TEST_P(LivePlansTest, AShadowReadByItsOwnPlanIsAStepBehindNothing) {
  Graph graph;
  Tensor x = graph.input("x", {1}, DType::f32);
  Tensor w = graph.variable("w", weight_shape, DType::f32);
  Tensor seen = call_many("read", {graph.shadow(w, DType::bf16)}, {{weight_shape, DType::f32}},
                          [](const TileArgs& args) {
                            for (int64_t i = 0; i < args[1].size(); ++i)
                              args[1].as<float>()[i] = static_cast<float>(args[0].as<bf16>()[i]);
                          })[0];
  graph.fetch(seen);
  call("update", {w, x}, each([](const auto& v, float old) { return old + v[0]; }), {.in_place = 0});
  Session session(GetParam());
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse(weight_tiling)}));
  for (int step = 0; step < 6; ++step)
    EXPECT_EQ(executor.run({{x, std::vector{1.f}}}).get(seen),
              std::vector<float>(weights, static_cast<float>(step)));
}

// A step of one plan is over before another plan's begins, but nobody need wait for it by hand.
TEST_P(LivePlansTest, TakeTurnsWithoutBeingWaitedFor) {
  Updating train(false);
  Reading evaluate(DType::f32);
  Session session(GetParam());
  Executor trainer(session, train.plan()), evaluator(session, evaluate.plan());
  std::vector<Executor::Step> seen;
  for (int turn = 0; turn < 20; ++turn) {
    trainer.run({{train.x, std::vector{1.f}}});
    trainer.run({{train.x, std::vector{1.f}}});
    seen.push_back(evaluator.run());
  }
  for (int turn = 0; turn < 20; ++turn)
    EXPECT_FLOAT_EQ(seen[static_cast<size_t>(turn)].get(evaluate.y)[0],
                    0.7f + 2 * static_cast<float>(turn + 1));
}

TEST_P(LivePlansTest, PlansMayEndBeforeOthers) {
  Updating train(true);
  Reading serve(DType::bf16);
  Session session(GetParam());
  Executor server(session, serve.plan());
  for (int turn = 0; turn < 10; ++turn) {
    Executor trainer(session, train.plan());
    trainer.run({{train.x, std::vector{1.f}}});
    if (turn % 2) {
      EXPECT_EQ(server.run().get(serve.y)[0], narrowed(session.get("w")[0]));
    }
  }
  EXPECT_FLOAT_EQ(session.get("w")[0], 10.7f);
}

}  // namespace tessera::testing_ops
