// What goes wrong while steps run, and tasks completed from outside; for every engine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "runtime/core/error.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/engines.hpp"

namespace tessera::testing_ops {

using testing::HasSubstr;
using testing::ThrowsMessage;

inline std::vector<float> one(float value) { return {value}; }

// y = x + 1, but the body is asked first.
struct Fragile {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 3}, 1}, DType::f32);
  Tensor y;

  explicit Fragile(const std::function<void(float)>& before, CallOptions options = {}) {
    const Graph::Scope scope(graph, "block0");
    Tensor plain = call("plain", {x}, each([](const auto& v, float) { return v[0]; }), options);
    y = call("fragile", {plain}, each([before](const auto& v, float) { return before(v[0]), v[0] + 1; }),
             options);
    y = call("after", {y}, each([](const auto& v, float) { return v[0]; }));
    graph.fetch(y);
  }
  Plan plan() const { return make_plan(graph, {.tiling = Tiling::parse("rows=1x3")}); }
  static std::vector<float> fed(int step) { return {0, static_cast<float>(step), 0}; }
};

class FailuresTest : public EngineTest {};

TEST_P(FailuresTest, AKernelsExceptionIsRethrownWithItsLabel) {
  Fragile fragile([](float v) {
    if (v == 3) throw std::runtime_error("out of luck");
  });
  const char* message = "block0/fragile[1,0]: out of luck";
  Session session(GetParam());
  {
    Executor executor(session, fragile.plan());
    std::vector<Executor::Step> started;
    const auto run = [&] {
      for (int step = 0; step < 20; ++step)
        started.push_back(executor.run({{fragile.x, Fragile::fed(step)}}));
    };
    EXPECT_THAT(run, ThrowsMessage<Failure>(message));
    EXPECT_GE(started.size(), 4u);  // the failing step was started,
    EXPECT_LE(started.size(), 6u);  // and at most two more
    EXPECT_THAT([&] { started.back().wait(); }, ThrowsMessage<Failure>(message));
    EXPECT_THAT([&] { started.back().get(fragile.y); }, ThrowsMessage<Failure>(message));
    EXPECT_THAT([&] { executor.run({{fragile.x, Fragile::fed(0)}}); }, ThrowsMessage<Failure>(message));
    EXPECT_NO_THROW(executor.wait());
  }
  Executor again(session, fragile.plan());  // the session goes on
  EXPECT_EQ(again.run({{fragile.x, Fragile::fed(7)}}).get(fragile.y), (std::vector<float>{1, 8, 1}));
}

TEST_P(FailuresTest, FusedTasksNameTheStageThatFailed) {
  Fragile fragile([](float) { throw std::runtime_error("no"); }, {.light = true});
  Session session(GetParam());
  Executor executor(session, fragile.plan());
  ASSERT_GE(executor.plan().tasks[0].stages.size(), 2u);
  EXPECT_THAT([&] { executor.run({{fragile.x, Fragile::fed(0)}}).wait(); },
              ThrowsMessage<Failure>(testing::MatchesRegex("block0/fragile.[0-2],0.: no")));
}

TEST_P(FailuresTest, AnythingMayBeThrown) {
  Fragile fragile([](float) { throw 42; });
  Session session(GetParam());
  Executor executor(session, fragile.plan());
  EXPECT_THAT([&] { executor.run({{fragile.x, Fragile::fed(0)}}).wait(); },
              ThrowsMessage<Failure>(HasSubstr("block0/fragile")));
}

TEST_P(FailuresTest, TheFirstOneWins) {
  Fragile fragile([](float v) { throw std::runtime_error(std::to_string(static_cast<int>(v))); });
  Session session(GetParam());
  Executor executor(session, fragile.plan());
  std::string first;
  for (int attempt = 0; attempt < 10; ++attempt) try {
      executor.run({{fragile.x, Fragile::fed(attempt)}}).wait();
      FAIL() << "nothing was thrown";
    } catch (const Failure& failure) {
      if (first.empty()) first = failure.what();
      EXPECT_EQ(failure.what(), first);
    }
}

TEST_P(FailuresTest, FiniteChecksNameTheTask) {
  Graph graph;
  Tensor x = graph.input("x", {2}, DType::f32);
  Tensor y = call("root", {x}, each([](const auto& v, float) { return std::sqrt(v[0]); }));
  graph.fetch(call("plus", {y}, each([](const auto& v, float) { return v[0] + 1; })));
  const std::vector<float> good{1, 4}, bad{1, -4};
  Session session(GetParam());
  Executor silent(session, make_plan(graph, {}));
  EXPECT_NO_THROW(silent.run({{x, bad}}).wait());
  Executor checked(session, make_plan(graph, {}), {.check_finite = true});
  EXPECT_NO_THROW(checked.run({{x, good}}).wait());
  EXPECT_THAT([&] { checked.run({{x, bad}}).wait(); },
              ThrowsMessage<Failure>("root[0,0]: a value is not finite"));
}

TEST_P(FailuresTest, FiniteChecksKnowEveryType) {
  for (DType dtype : {DType::bf16, DType::f16, DType::i32}) {
    Graph graph;
    Tensor x = graph.input("x", {2}, dtype);
    graph.fetch(call("copy", {x}, [](const TileArgs& args) {
      std::memcpy(args[1].data, args[0].data, 2 * size_of(args[0].dtype));
    }));
    Session session({.engine = "threads", .workers = 1});
    Executor executor(session, make_plan(graph, {}), {.check_finite = true});
    const std::vector<uint16_t> finite{0x7b00, 0},
        infinite{dtype == DType::bf16 ? uint16_t{0x7f80} : uint16_t{0x7c00}, 0};
    if (dtype == DType::i32) {
      EXPECT_NO_THROW(executor.run({{x, std::vector<int32_t>{-1, 0x7f800000}}}).wait());
      continue;
    }
    EXPECT_NO_THROW(executor.run({{x, finite}}).wait());
    EXPECT_THROW(executor.run({{x, infinite}}).wait(), Failure);
  }
}

TEST_P(FailuresTest, WrongFeedsStartNothing) {
  Fragile fragile([](float) {}), other([](float) {});
  Session session(GetParam());
  Executor executor(session, fragile.plan());
  const Feed right(fragile.x, Fragile::fed(0));
  auto told = [&](std::vector<Feed> feeds, const char* message) {
    EXPECT_THAT([&] { executor.run(feeds); }, ThrowsMessage<Error>(HasSubstr(message)));
  };
  for (int round = 0; round < 3; ++round) {
    told({}, "run: input 'x' is not fed");
    told({{fragile.x, one(1)}}, "run: input 'x' is [rows 3, 1] of f32 (12 bytes), not 4 bytes");
    told({{fragile.x, std::vector<int32_t>{1, 2, 3}}}, "run: input 'x' is f32, not i32");
    told({{other.x, Fragile::fed(0)}}, "belongs to another graph");
    told({{Tensor(), Fragile::fed(0)}}, "a fed tensor is empty");
    const std::vector<float> x = Fragile::fed(5);
    told({{fragile.x, x}, {fragile.y, x}}, "is fed, but it is no input");
    EXPECT_EQ(executor.run({{fragile.x, x}}).get(fragile.y), (std::vector<float>{1, 6, 1}));
  }
}

// x ─▶ arrived ─▶ y, where "arrived" is completed from outside.
struct Awaiting {
  Graph graph;
  Tensor x = graph.input("x", {1}, DType::f32);
  Tensor y;
  std::atomic<int> arrivals{0};
  std::atomic<bool> early{false};

  Awaiting() {
    Tensor arrived = call("arrived", {x}, nullptr);
    y = call_many("use", {x, arrived}, {x.type()}, [this](const TileArgs& args) {
      const float step = *args[0].as<float>();
      early = early || arrivals <= static_cast<int>(step);
      *args[2].as<float>() = 2 * step;
    })[0];
    graph.fetch(y);
    graph.fetch(arrived);  // so that every step in flight has one of its own
  }
  Plan plan() const {
    Plan plan = make_plan(graph, {});
    plan.tasks[0].stages[0].kernel = nullptr;
    return plan;
  }
};

TEST_P(FailuresTest, TasksMayBeCompletedFromOutside) {
  Awaiting awaiting;
  Session session(GetParam());
  Executor executor(session, awaiting.plan());
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> pending;
  int handed = 0, most = 0;
  constexpr int steps = 60;
  executor.on_external([&](int task, std::function<void()> done) {
    EXPECT_EQ(task, 0);
    const std::lock_guard lock(mutex);
    pending.push_back(std::move(done));
    most = std::max(most, ++handed - awaiting.arrivals);
    changed.notify_one();
  });
  std::thread network([&] {
    for (int arrived = 0; arrived < steps; ++arrived) {
      std::unique_lock lock(mutex);
      const int wanted =
          arrived == 0 ? 2 : 1;  // the first one is late: the next step already waits for its own
      changed.wait_for(lock, std::chrono::seconds(30), [&] { return handed >= arrived + wanted; });
      auto done = std::move(pending.front());
      pending.pop_front();
      lock.unlock();
      if (arrived % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));
      ++awaiting.arrivals;
      done();
      done();  // once too often does no harm
    }
  });
  std::vector<Executor::Step> started;
  for (int step = 0; step < steps; ++step)
    started.push_back(executor.run({{awaiting.x, one(static_cast<float>(step))}}));
  for (int step = 0; step < steps; ++step)
    EXPECT_EQ(started[static_cast<size_t>(step)].scalar(awaiting.y), static_cast<float>(2 * step));
  network.join();
  EXPECT_FALSE(awaiting.early);
  EXPECT_EQ(most, 2);  // never three
}

TEST_P(FailuresTest, OutsideMayAnswerAtOnce) {
  Awaiting awaiting;
  Session session(GetParam());
  Executor executor(session, awaiting.plan());
  executor.on_external([&](int, const std::function<void()>& done) { ++awaiting.arrivals, done(); });
  std::vector<Executor::Step> started;
  for (int step = 0; step < 50; ++step)
    started.push_back(executor.run({{awaiting.x, one(static_cast<float>(step))}}));
  EXPECT_EQ(started.back().scalar(awaiting.y), 98);
  EXPECT_FALSE(awaiting.early);
}

TEST_P(FailuresTest, SomebodyMustCompleteTasksFromOutside) {
  Awaiting awaiting;
  Session session(GetParam());
  Executor executor(session, awaiting.plan());
  EXPECT_THAT([&] { executor.run({{awaiting.x, one(0)}}).wait(); },
              ThrowsMessage<Failure>("arrived[0,0]: nobody completes tasks from outside; see on_external()"));
}

TEST_P(FailuresTest, WhoeverCompletesTasksMayFail) {
  Awaiting awaiting;
  Session session(GetParam());
  Executor executor(session, awaiting.plan());
  executor.on_external(
      [](int, const std::function<void()>&) { throw std::runtime_error("the peer is gone"); });
  EXPECT_THAT([&] { executor.run({{awaiting.x, one(0)}}).wait(); },
              ThrowsMessage<Failure>("arrived[0,0]: the peer is gone"));
  EXPECT_THROW(executor.run({{awaiting.x, one(1)}}), Failure);
}

}  // namespace tessera::testing_ops
