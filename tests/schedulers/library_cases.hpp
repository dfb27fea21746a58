// Policies from a shared library, good and bad, on an engine that runs tasks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "runtime/core/error.hpp"
#include "tests/paths.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/engines.hpp"

namespace tessera::testing_schedulers {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;
using namespace testing_ops;

inline std::string misbehaving(const std::string& name) {
  return test::built_path(TESSERA_MISBEHAVING, "tests/libmisbehaving.so") + ":" + name;
}

// y = x + 1, many times over, in tiles.
struct Chains {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 16}, 1}, DType::f32);
  Tensor y = x;

  Chains() {
    const Graph::Scope scope(graph, "chain");
    for (int i = 0; i < 4; ++i)
      y = call("plus" + std::to_string(i), {y}, each([](const auto& v, float) { return v[0] + 1; }));
    graph.fetch(y);
  }
  Plan plan() const { return make_plan(graph, {.tiling = Tiling::parse("rows=1x16")}); }
};

class LibraryTest : public testing::TestWithParam<std::string> {  // the engine's name
 protected:
  EngineOptions with(const std::string& scheduler) const {
    return {.engine = GetParam(),
            .workers = std::min(2, usable_cores()),
            .scheduler = scheduler,
            .patience = 0.2};
  }
};

TEST_P(LibraryTest, APolicyRunsFromALibrary) {
  const Chains chains;
  Session session(with(misbehaving("fifo")));
  Executor executor(session, chains.plan());
  const std::vector<float> ones(16, 1);
  for (int step = 0; step < 5; ++step)
    EXPECT_EQ(executor.run({{chains.x, ones}}).get(chains.y), std::vector<float>(16, 5));
}

TEST_P(LibraryTest, APolicyThatMisbehavesEndsTheRunAndIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"stubborn", "ready tasks, 'chain/plus"},
      {"throws_when_ready", "twenty is too many"},
      {"throws_at_next", "throws something that is no exception"},
      {"hands_out_twice", "which it does not have"}};
  const Chains chains;
  const std::vector<float> ones(16, 1);
  for (const auto& [name, told] : cases) {
    const auto began = std::chrono::steady_clock::now();
    Session session(with(misbehaving(name)));
    Executor executor(session, chains.plan());
    const auto run = [&] {
      for (int step = 0; step < 3; ++step) executor.run({{chains.x, ones}}).wait();
    };
    EXPECT_THAT(run, ThrowsMessage<Failure>(
                         AllOf(testing::StartsWith("scheduler "), HasSubstr(name), HasSubstr(told))));
    EXPECT_THAT(run, ThrowsMessage<Failure>(HasSubstr(name))) << "and ends the next one";
    Executor other(session, chains.plan());
    EXPECT_THAT([&] { other.run({{chains.x, ones}}).wait(); }, ThrowsMessage<Failure>(HasSubstr(name)));
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20)) << name;
  }
}

// A worker may be at one task for longer than the watchdog's patience.
TEST_P(LibraryTest, SlowTasksAreNotTakenForAStubbornPolicy) {
  Graph graph;
  const Tensor x = graph.input("x", {{"rows", 2}, 1}, DType::f32);
  const Tensor y = call("slow", {x}, each([](const auto& v, float) {
                          std::this_thread::sleep_for(std::chrono::milliseconds(500));
                          return v[0];
                        }));
  graph.fetch(y);
  EngineOptions options = with(misbehaving("fifo"));
  options.workers = 1;
  Session session(options);
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=1x2")}));
  const std::vector<float> ones(2, 1);
  EXPECT_EQ(executor.run({{x, ones}}).get(y), ones);
}

}  // namespace tessera::testing_schedulers
