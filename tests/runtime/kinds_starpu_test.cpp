// Where tasks run on unlike workers: told after a step, and wanted for one.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "runtime/core/error.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/device/queue.hpp"
#include "tests/runtime/call_op.hpp"
#include "tests/runtime/engines.hpp"

namespace tessera::testing_ops {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// Twice as much on a device, three times as much on the CPU: results tell where their tile was computed.
void doubles(const TileArgs& args, DeviceQueue& queue) {
  queue.launch({"scale", "scale", {{"T", DType::f32}}}, for_each(args[0].size()), args[0], args[1], 2.0f,
               args[0].size());
}

constexpr int n_tiles = 24;

struct Telling {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", n_tiles}, 3}, DType::f32);
  Tensor y;

  explicit Telling(void (*gpu)(const TileArgs&, DeviceQueue&) = doubles) {
    y = call("telling", {x}, each([](const auto& v, float) { return 3 * v[0]; }), {.gpu = gpu});
    graph.fetch(y);
  }
  Plan plan() const { return make_plan(graph, {.tiling = Tiling::parse(fmt::format("rows=1x{}", n_tiles))}); }
  Executor::Step run(Executor& executor, const std::string& kinds = {}) const {
    const std::vector<Feed> feeds{{x, ones}};
    return executor.run(feeds, kinds);
  }
  // What each task multiplied by, as letters of the kinds.
  std::string seen(const Executor::Step& step, Session& session) const {
    const WorkerKinds& kinds = session.engine().kinds();
    std::string letters;
    const std::vector<float> values = step.get(y);
    for (size_t tile = 0; tile < n_tiles; ++tile)
      for (size_t w = 0; w < kinds.of.size(); ++w)
        if (values[3 * tile] == (session.engine().queue(static_cast<int>(w)) ? 2 : 3)) {
          letters += letter_of(kinds.of[w]);
          break;
        }
    return letters;
  }

  std::vector<float> ones = std::vector<float>(size_t{n_tiles} * 3, 1.0f);
};

class KindsTest : public testing::TestWithParam<EngineOptions> {
 protected:
  void SetUp() override {
    if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
  }
};

TEST_P(KindsTest, EveryTaskRunsWhereItIsWanted) {
  Session session(GetParam());
  const Telling telling;
  Executor executor(session, telling.plan());
  ASSERT_EQ(session.engine().kinds().names.size(), 2U);
  std::string mixed;
  for (int t = 0; t < n_tiles; ++t) mixed += "abaabb"[t % 6];
  for (const std::string& wanted : {mixed, std::string(n_tiles, 'a'), std::string(n_tiles, 'b'), mixed}) {
    const Executor::Step step = telling.run(executor, wanted);
    EXPECT_EQ(telling.seen(step, session), wanted);
    EXPECT_EQ(step.kinds(), wanted);
  }
  const Executor::Step anywhere = telling.run(executor);
  EXPECT_EQ(anywhere.kinds(), telling.seen(anywhere, session));
}

TEST_P(KindsTest, WhatCannotBeHadIsRefused) {
  Session session(GetParam());
  const Telling telling, only_cpu(nullptr);
  Executor executor(session, telling.plan());
  EXPECT_THAT([&] { telling.run(executor, "ab"); }, ThrowsMessage<Error>(HasSubstr("for 2 tasks")));
  EXPECT_THAT([&] { telling.run(executor, std::string(n_tiles, 'c')); },
              ThrowsMessage<Error>(HasSubstr("kind 'c'")));
  Executor restricted(session, only_cpu.plan());
  int device = 0;
  while (!session.engine().queue(device)) ++device;
  const char letter = letter_of(session.engine().kinds().of[static_cast<size_t>(device)]);
  EXPECT_THAT([&] { only_cpu.run(restricted, std::string(n_tiles, letter)); },
              ThrowsMessage<Error>(HasSubstr("which cannot")));
  EXPECT_EQ(only_cpu.run(restricted).get(only_cpu.y), std::vector<float>(size_t{n_tiles} * 3, 3.0f));
}

EngineOptions under(const char* scheduler) { return {.workers = 1, .scheduler = scheduler, .opencl = {0}}; }

INSTANTIATE_TEST_SUITE_P(On, KindsTest,
                         testing::Values(EngineOptions{.engine = "device", .scheduler = "", .opencl = {0}},
                                         under("round_robin"), under("affinity"), under("lws"),
                                         under("eager"), under("prio"), under("dmdas")),
                         [](const auto& which) { return which.param.engine + which.param.scheduler; });

}  // namespace
}  // namespace tessera::testing_ops
