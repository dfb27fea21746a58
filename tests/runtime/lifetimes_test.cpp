// Buffers of intermediate tiles, and the dependencies that keep them apart, within a step and across steps.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <bitset>

#include "codelets/scale/scale.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/plan/lowering.hpp"
#include "runtime/plan/passes.hpp"
#include "runtime/plan/print.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/random_plan.hpp"
#include "tests/runtime/run_graph.hpp"

namespace tessera {
namespace {

using testing_ops::call;
using testing_ops::each;
using testing_ops::RandomPlan;
using testing_ops::run_graph;

// x ─▶ scale ─▶ scale ─▶ …, each a task of its own.
Plan chain(int length, bool fuse = false) {
  Graph graph;
  Tensor y = graph.input("x", {4, 8}, DType::f32);
  for (int i = 0; i < length; ++i) y = scale(y, 2);
  graph.fetch(y);
  return make_plan(graph, {.fuse = fuse});
}

TEST(Lifetimes, SmallPlanBeforeAndAfter) {
  Graph graph;
  Tensor x = graph.input("x", {4, 8}, DType::f32);
  Tensor w = graph.variable("w", {4, 8}, DType::f32);
  Tensor a = call("a", {x}, nullptr);
  Tensor b = call("b", {a, w}, nullptr);
  call("c", {w, b}, nullptr, {.in_place = 0});
  graph.fetch(call("d", {a, b}, nullptr));
  Plan plan;
  plan.program = Program(graph);
  plan.tiling = Tiling();
  PlanBuilder(plan).lower_all();
  link_tasks(plan);
  // Before there are buffers, nothing is known of the next step.
  EXPECT_EQ(to_text(plan),
            "0: a(x) > t2  before 1 3\n"
            "1: b(t2, w) > t3  before 2 3\n"
            "2: c(t3) +> w\n"
            "3: d(t2, t3) > t5\n");
  assign_buffers(plan);
  link_tasks(plan);
  EXPECT_EQ(to_text(plan),
            "0: a(x) > t2@3  before 1 3\n"
            "1: b(t2@3, w) > t3@4  before 2 3  next step 0\n"
            "2: c(t3@4) +> w  next step 1\n"
            "3: d(t2@3, t3@4) > t5  next step 0 1\n");
}

TEST(Lifetimes, BuffersAreReusedSomeTasksLater) {
  const Plan plan = chain(60);
  ASSERT_EQ(plan.tasks.size(), 60u);
  // Task 1 reads the first tile last; sixteen tasks later its buffer is taken again, so seventeen are enough.
  EXPECT_EQ(plan.intermediate_bytes(), 17 * plan.tiles[0].bytes());
  const std::string text = to_text(plan);
  EXPECT_NE(text.find("0: scale(x) > t1@2  before 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("1: scale(t1@2) > t2@3  before 2 17\n"), std::string::npos) << text;
  EXPECT_NE(text.find("17: scale(t17@18) > t18@2  before 18 33\n"), std::string::npos) << text;
}

TEST(Lifetimes, TilesOfOneTaskAreScratch) {
  const Plan plan = chain(8, true);
  ASSERT_EQ(plan.tasks.size(), 1u);
  EXPECT_EQ(plan.intermediate_bytes(), 0);
  EXPECT_EQ(to_text(chain(3, true)), "0: scale(x) > t1~; scale(t1~) > t2~; scale(t2~) > t3\n");
}

TEST(Lifetimes, LargerBuffersAreTakenOnlyWhereLittleIsWasted) {
  Plan plan;
  auto add_chain = [&](int64_t cols, int length) {
    for (int i = 0; i < length; ++i) {
      const auto tile = static_cast<TileId>(plan.tiles.size());
      plan.tiles.push_back({.rows = 1, .cols = cols});
      Task& task = plan.tasks.emplace_back();
      task.stages.emplace_back();
      if (i > 0) task.stages[0].accesses.push_back(read(tile - 1));
      task.stages[0].accesses.push_back(write(tile));
    }
  };
  add_chain(100, 20);
  add_chain(90, 20);  // fits into those of 100
  add_chain(10, 20);  // would waste most of them
  assign_buffers(plan);
  for (const Tile& tile : plan.tiles) {
    if (tile.residence != Residence::intermediate) continue;
    const int64_t buffer = plan.buffers[static_cast<size_t>(tile.buffer)].bytes;
    EXPECT_GE(buffer, tile.bytes());
    EXPECT_LE(buffer, tile.bytes() + tile.bytes() / 4);
  }
}

TEST(Lifetimes, PoisonChangesNothing) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 6}, 4}, DType::f32);
  Tensor y = x;
  std::vector<Tensor> kept;
  for (int i = 0; i < 40; ++i) {
    y = scale(y, 0.9f);
    if (i % 7 == 0) kept.push_back(y);
  }
  Tensor sum = y;
  for (Tensor k : kept) sum = call("plus", {sum, k}, each([](const auto& v, float) { return v[0] + v[1]; }));
  graph.fetch(sum_rows(sum));
  const PlanOptions options{.tiling = Tiling::parse("rows=2,1|3"), .fuse = false};
  EXPECT_EQ(run_graph(graph, options, 3, {.poison = true}), run_graph(graph, options, 3, {.poison = false}));
}

// Whatever runs when: of two tiles in one buffer, also of different steps, one is dead before the other is
// born.
TEST(LifetimesProperty, TilesOfOneBufferNeverMeet) {
  constexpr int steps = 3, most = 256;
  size_t shared = 0;
  for (uint32_t seed = 0; seed < 100; ++seed) {
    RandomPlan random(seed, 60);
    Plan& plan = random.plan;
    if (seed % 2) fuse(plan);
    assign_buffers(plan);
    link_tasks(plan);
    const size_t n = plan.tasks.size();
    ASSERT_LE(n * steps, most);
    std::vector<std::bitset<most>> after(n * steps);  // tasks that can only run later
    for (size_t at = n * steps; at-- > 0;) {
      const size_t step = at / n;
      auto add = [&](size_t next) {
        after[at].set(next);
        after[at] |= after[next];
      };
      for (int next : plan.tasks[at % n].next) add(step * n + static_cast<size_t>(next));
      if (step + 1 < steps)
        for (int next : plan.tasks[at % n].next_step) add((step + 1) * n + static_cast<size_t>(next));
    }
    std::vector<std::vector<size_t>> users(plan.tiles.size());
    for (size_t t = 0; t < n; ++t)
      for (const Stage& stage : plan.tasks[t].stages)
        for (const Access& access : stage.accesses) users[static_cast<size_t>(access.tile)].push_back(t);
    auto before = [&](size_t a, size_t step_a, size_t b, size_t step_b) {
      for (size_t x : users[a])
        for (size_t y : users[b])
          if (!after[step_a * n + x].test(step_b * n + y)) return false;
      return true;
    };
    for (size_t a = 0; a < plan.tiles.size(); ++a)
      for (size_t b = 0; b < plan.tiles.size(); ++b) {
        if (plan.tiles[a].residence != Residence::intermediate ||
            plan.tiles[a].buffer != plan.tiles[b].buffer)
          continue;
        if (users[a].empty() || users[b].empty()) continue;
        shared += a != b;
        for (size_t later = a == b ? 1 : 0; later < steps; ++later) {
          ASSERT_TRUE(before(a, 0, b, later) || before(b, later, a, 0))
              << "seed " << seed << ": tiles " << a << " and " << b << ", " << later << " steps later";
        }
      }
  }
  EXPECT_GT(shared, 100u);
}

TEST(LifetimesProperty, OverlappingStepsComputeTheSame) {
  for (uint32_t seed = 1000; seed < 1200; ++seed) {
    RandomPlan random(seed, 80);
    const auto expected = random.run_in_order(4);
    if (seed % 2) fuse(random.plan);
    assign_buffers(random.plan);
    link_tasks(random.plan);
    for (uint32_t run = 0; run < 5; ++run) ASSERT_EQ(random.run_overlapping(4, run), expected) << seed;
  }
}

// Transitive edges are left out; what is left still orders everything that touches the same memory.
TEST(Dependencies, AreNotDoubled) {
  Graph graph;
  Tensor w = graph.variable("w", {4}, DType::f32);
  Tensor first = call("first", {w}, nullptr, {.in_place = 0});
  Tensor a = call("a", {first}, nullptr), b = call("b", {first}, nullptr);
  call("second", {first, a, b}, nullptr, {.in_place = 0});
  EXPECT_EQ(to_text(make_plan(graph, {.fuse = false})),
            "0: first() +> w  before 1 2\n"
            "1: a(w) > t2@1  before 3\n"
            "2: b(w) > t3@2  before 3\n"
            "3: second(t2@1, t3@2) +> w  next step 0 1 2\n");
}

TEST(Dependencies, ManyReadersOfOneTileAreLinkedFast) {
  Plan plan;
  plan.tiles.push_back({.residence = Residence::variable, .buffer = 0});
  plan.buffers.push_back({.bytes = 4, .residence = Residence::variable, .tile = 0});
  const int n = 30'000;  // quadratic work would take seconds
  for (int t = 0; t <= n; ++t) {
    Task& task = plan.tasks.emplace_back();
    task.stages.emplace_back();
    task.stages[0].accesses.push_back(t == n ? update(0) : read(0));
  }
  link_tasks(plan);
  EXPECT_EQ(plan.tasks.back().n_before, n);
  EXPECT_EQ(plan.tasks.back().next_step.size(), static_cast<size_t>(n));
}

}  // namespace
}  // namespace tessera
