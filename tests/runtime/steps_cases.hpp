// Steps in flight: what goes in, what comes out and what overlaps; for every engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "runtime/plan/passes.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/engines.hpp"
#include "tests/runtime/random_plan.hpp"

namespace tessera::testing_ops {

// A running sum over steps beside a function of the input, on four row tiles.
struct Counting {
  static constexpr int rows = 4;

  Graph graph;
  Tensor x = graph.input("x", {{"rows", rows}, 2}, DType::f32);
  Tensor total = graph.variable("total", x.shape(), DType::f32);
  Tensor doubled, after;

  Counting() {
    Tensor y = x;
    for (int i = 0; i < 5; ++i) y = call("plus", {y}, each([](const auto& v, float) { return v[0] + 1; }));
    doubled = call("twice", {y}, each([](const auto& v, float) { return 2 * v[0]; }));
    after =
        call("sum", {total, y}, each([](const auto& v, float sum) { return sum + v[0]; }), {.in_place = 0});
    graph.fetch(doubled);
    graph.fetch(after);
  }
  Plan plan(bool fuse = true) const {
    return make_plan(graph, {.tiling = Tiling::parse("rows=1,1|2"), .fuse = fuse});
  }
  static std::vector<float> fed(int step) {
    std::vector<float> values(rows * 2);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(step * 10) + static_cast<float>(i);
    return values;
  }
};

class StepsTest : public EngineTest {};

TEST_P(StepsTest, GiveWhatOneAfterTheOtherGives) {
  Counting counting;
  Session session(GetParam());
  Executor executor(session, counting.plan(false), {.poison = true});
  constexpr int steps = 200;
  std::vector<Executor::Step> started;
  std::vector<float> sum(Counting::rows * 2, 0);
  auto look_at = [&](int step) {
    const std::vector<float> x = Counting::fed(step);
    const std::vector<float> doubled = started[static_cast<size_t>(step)].get(counting.doubled);
    const std::vector<float> after = started[static_cast<size_t>(step)].get(counting.after);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(doubled[i], 2 * (x[i] + 5)) << step;
      ASSERT_EQ(after[i], sum[i] += x[i] + 5) << step;
    }
  };
  for (int step = 0; step < steps; ++step) {
    std::vector<float> x = Counting::fed(step);
    started.push_back(executor.run({{counting.x, x}}));
    std::fill(x.begin(), x.end(), -1);  // run() has copied it
    if (step % 3 == 2) look_at(step - 2), look_at(step - 1), look_at(step);
  }
  look_at(steps - 2);
  look_at(steps - 1);
  EXPECT_EQ(session.get("total"), started.back().get(counting.after));
}

TEST_P(StepsTest, FetchesStayReadable) {
  Counting counting;
  Session session(GetParam());
  Executor executor(session, counting.plan());
  std::vector<Executor::Step> started;
  for (int step = 0; step < 10; ++step) started.push_back(executor.run({{counting.x, Counting::fed(step)}}));
  for (int step = 9; step >= 0; --step)  // long after their buffers were taken again
    EXPECT_EQ(started[static_cast<size_t>(step)].get(counting.doubled)[0], 2 * (Counting::fed(step)[0] + 5));
}

TEST_P(StepsTest, FetchesKnowTheirTypes) {
  Graph graph;
  Tensor ids = graph.input("ids", {3}, DType::i32);
  Tensor wide = graph.input("wide", {3}, DType::f32);
  auto copy = [](const TileArgs& args) {
    std::memcpy(args[1].data, args[0].data, static_cast<size_t>(args[0].size()) * size_of(args[0].dtype));
  };
  Tensor same = call("copy", {ids}, copy), unread = call("copy", {ids}, copy);
  graph.fetch(same);
  graph.fetch(ids);
  graph.fetch(wide);
  Session session(GetParam());
  Executor executor(session, make_plan(graph, {}));
  const std::vector<int32_t> values{7, -1, 1 << 20};
  const std::vector<float> floats{0.5f, -2, 3};
  const Executor::Step step = executor.run({{ids, values}, {wide, floats}});
  EXPECT_EQ(step.get_i32(same), values);
  EXPECT_EQ(step.get_i32(ids), values);
  EXPECT_EQ(step.get(wide), floats);
  EXPECT_EQ(step.get(same)[2], 1 << 20);
  EXPECT_THROW(step.get_i32(wide), Error);
  EXPECT_THROW(step.get(unread), Error);
  EXPECT_THROW(step.get(Tensor()), Error);
}

TEST_P(StepsTest, EmptyPlansRun) {
  Graph graph;
  Tensor x = graph.input("x", {2}, DType::f32);
  Session session(GetParam());
  Executor empty(session, make_plan(graph, {}));
  for (int step = 0; step < 10; ++step) empty.run().wait();
  graph.fetch(x);  // no task, but something to feed and to fetch
  Executor mirror(session, make_plan(graph, {}));
  std::vector<Executor::Step> started;
  for (int step = 0; step < 10; ++step)
    started.push_back(mirror.run({{x, std::vector{static_cast<float>(step), 1.f}}}));
  for (int step = 0; step < 10; ++step)
    EXPECT_EQ(started[static_cast<size_t>(step)].get(x)[0], static_cast<float>(step));
}

TEST_P(StepsTest, TasksMayReadManyTiles) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 100}, 1}, DType::f32);
  Tensor y = call("plus", {x}, each([](const auto& v, float) { return v[0] + 1; }));
  Tensor sum = call_many("sum", {y}, {{Shape{1}, DType::f32}}, [](const TileArgs& args) {
    float total = 0;
    for (const TileView& tile : args.tiles.first(args.count() - 1)) total += *tile.as<float>();
    *args[args.count() - 1].as<float>() = total;
  })[0];
  graph.fetch(sum);
  Session session(GetParam());
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=1x100"), .fuse = false}));
  std::vector<Executor::Step> started;
  for (int step = 0; step < 20; ++step)
    started.push_back(executor.run({{x, std::vector<float>(100, static_cast<float>(step))}}));
  for (int step = 0; step < 20; ++step)
    EXPECT_EQ(started[static_cast<size_t>(step)].scalar(sum), 100.f * static_cast<float>(step + 1));
}

TEST_P(StepsTest, RandomPlansComputeAsInOrder) {
  constexpr int steps = 6;
  Session session(GetParam());
  Graph nothing;  // its address alone tells whose tensors are fed
  for (uint32_t seed = 0; seed < 30; ++seed) {
    RandomPlan random(seed);
    const RandomPlan::Values expected = random.run_in_order(steps);
    Plan plan = random.plan;
    plan.program.graph = &nothing;
    if (seed % 2) fuse(plan);
    assign_buffers(plan);
    link_tasks(plan);
    Executor executor(session, plan, {.poison = true});
    std::vector<Executor::Step> started;
    for (int step = 0; step < steps; ++step) {
      std::vector<std::vector<int32_t>> values;
      std::vector<Feed> feeds;
      values.reserve(plan.grid.size());
      for (size_t id = 0; id < plan.grid.size(); ++id) {
        if (plan.program.tensors[id].kind != TensorInfo::Kind::input) continue;
        auto& whole = values.emplace_back();
        for (TileId tile : plan.grid[id])
          for (int64_t i = 0; i < plan.tiles[static_cast<size_t>(tile)].cols; ++i)
            whole.push_back(static_cast<int32_t>(RandomPlan::fed(step, tile, static_cast<size_t>(i))));
        feeds.emplace_back(Tensor{&nothing, static_cast<int>(id)}, whole);
      }
      started.push_back(executor.run(feeds));
    }
    std::vector<uint32_t> got, wanted;
    auto add = [&](const std::vector<int32_t>& values) {
      got.insert(got.end(), values.begin(), values.end());
    };
    for (const Executor::Step& step : started)
      for (int id : plan.program.fetches) add(step.get_i32({&nothing, id}));
    for (const TensorInfo& info : plan.program.tensors)
      if (info.kind == TensorInfo::Kind::variable) {
        std::vector<int32_t> whole(static_cast<size_t>(info.type.shape.size()));
        session.read(info.name, whole.data());
        add(whole);
      }
    for (const auto& values : expected) wanted.insert(wanted.end(), values.begin(), values.end());
    ASSERT_EQ(got, wanted) << seed;
  }
}

TEST_P(StepsTest, ThousandsOfTinyTasks) {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 500}, 1}, DType::f32);
  Tensor total = graph.variable("total", x.shape(), DType::f32);
  Tensor y = x;
  for (int i = 0; i < 3; ++i) y = call("plus", {y}, each([](const auto& v, float) { return v[0] + 1; }));
  graph.fetch(
      call("sum", {total, y}, each([](const auto& v, float sum) { return sum + v[0]; }), {.in_place = 0}));
  Session session(GetParam());
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=1x500"), .fuse = false}));
  ASSERT_GE(executor.plan().tasks.size(), 2000u);
  const auto begin = std::chrono::steady_clock::now();
  constexpr int steps = 60;
  for (int step = 0; step < steps; ++step) executor.run({{x, std::vector<float>(500, 1)}});
  EXPECT_EQ(session.get("total"), std::vector<float>(500, 4 * steps));
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 10 * patience);
}

TEST_P(StepsTest, RecordsEveryStage) {
  Counting counting;
  Session session(GetParam());
  Executor executor(session, counting.plan(), {.record = true});
  for (int step = 0; step < 5; ++step) executor.run({{counting.x, Counting::fed(step)}});
  executor.wait();
  ASSERT_EQ(executor.records().size(), GetParam().opencl.size() + static_cast<size_t>(GetParam().workers));
  size_t stages = 0, records = 0;
  for (const Task& task : executor.plan().tasks) stages += task.stages.size();
  for (size_t worker = 0; worker < executor.records().size(); ++worker)
    for (const Record& record : executor.records()[worker]) {
      ++records;
      EXPECT_EQ(record.worker, static_cast<int>(worker));
      EXPECT_LE(record.begin, record.end);
      EXPECT_LT(record.step, 5);
    }
  EXPECT_EQ(records, 5 * stages);
  ASSERT_EQ(executor.step_starts().size(), 5u);
}

// Not with lws and dmdas: those may leave a task queued behind a busy worker while another one sleeps.
class OverlapTest : public EngineTest {};

TEST_P(OverlapTest, AStepBeginsBeforeTheLastOneIsOver) {
  constexpr int steps = 8;
  std::atomic<int> begun{-1};
  std::atomic<bool> late{false};
  Graph graph;
  Tensor x = graph.input("x", {1}, DType::f32);
  graph.fetch(
      call("quick", {x}, [&](const TileArgs& args) { begun = static_cast<int>(*args[0].as<float>()); }));
  graph.fetch(call("slow", {x}, [&](const TileArgs& args) {  // until the next step's other task has run
    const int step = static_cast<int>(*args[0].as<float>());
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (step + 1 < steps && begun < step + 1 && !late) {
      late = std::chrono::steady_clock::now() > limit;
      std::this_thread::yield();
    }
  }));
  Session session(GetParam());
  Executor executor(session, make_plan(graph, {}));
  for (int step = 0; step < steps; ++step) executor.run({{x, std::vector{static_cast<float>(step)}}});
  executor.wait();
  EXPECT_FALSE(late);
}

// Two chains of tasks of 200 µs, the next step's behind this one's: what a worker idles where one step ends
// and the next begins. Medians, since others may take the machine away at any time.
TEST_P(OverlapTest, BoundariesIdleLessThanAHundredth) {
  constexpr int length = 25, steps = 40;
  Graph graph;
  for (int c = 0; c < 2; ++c) {
    Tensor y = graph.variable("v" + std::to_string(c), {1}, DType::f32);
    for (int i = 0; i < length; ++i)
      y = call("spin", {y},
               [](const TileArgs&) {
                 const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(200);
                 while (std::chrono::steady_clock::now() < end) {
                 }
               },
               {.in_place = 0});
  }
  Session session(GetParam());
  Executor executor(session, make_plan(graph, {}), {.record = true});
  for (int step = 0; step < steps; ++step) executor.run();
  executor.wait();
  std::vector<int64_t> gaps;
  int64_t begin = executor.records()[0].front().begin, end = begin;
  for (const std::vector<Record>& records : executor.records()) {
    for (size_t k = 1; k < records.size(); ++k)
      if (records[k].step != records[k - 1].step) gaps.push_back(records[k].begin - records[k - 1].end);
    if (!records.empty())
      begin = std::min(begin, records.front().begin), end = std::max(end, records.back().end);
  }
  ASSERT_GE(gaps.size(), static_cast<size_t>(steps - 1));
  std::nth_element(gaps.begin(), gaps.begin() + static_cast<ptrdiff_t>(gaps.size() / 2), gaps.end());
  RecordProperty("boundary_ns", static_cast<int>(gaps[gaps.size() / 2]));
  EXPECT_LT(static_cast<double>(gaps[gaps.size() / 2]), 0.01 * static_cast<double>(end - begin) / steps);
}

}  // namespace tessera::testing_ops
