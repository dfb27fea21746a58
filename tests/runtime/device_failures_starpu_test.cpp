// What goes wrong on devices: a kernel that does not compile, and one that cannot be launched.
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

// scale's source with a type that there is not. Who was told of a kernel is not told again, hence a number.
template <int number>
void does_not_compile(const TileArgs& args, DeviceQueue& queue) {
  queue.launch({"scale", "scale", {{"T", 7 + number}}}, for_each(args[0].size()), args[0], args[1], 2.0f,
               args[0].size());
}
// More items in a group than any device has.
void does_not_start(const TileArgs& args, DeviceQueue& queue) {
  queue.launch({"scale", "scale", {{"T", DType::f32}}}, {.groups = {1, 1, 1}, .items = {1 << 24, 1}}, args[0],
               args[1], 2.0f, args[0].size());
}

struct Planted {
  Graph graph;
  Tensor x = graph.input("x", {{"rows", 4}, 3}, DType::f32);
  Tensor y;

  explicit Planted(void (*gpu)(const TileArgs&, DeviceQueue&)) {
    y = call("planted", {x}, each([](const auto& v, float) { return 2 * v[0]; }), {.gpu = gpu});
    graph.fetch(y);
  }
  Plan plan() const { return make_plan(graph, {.tiling = Tiling::parse("rows=1x4")}); }
  static std::vector<float> fed() { return std::vector<float>(12, 1.5f); }
};

class DeviceFailuresTest : public testing::TestWithParam<EngineOptions> {
 protected:
  void SetUp() override {
    if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
  }
  static auto uncompilable() {
    return GetParam().engine == "device" ? does_not_compile<0> : does_not_compile<1>;
  }
};

TEST_P(DeviceFailuresTest, AKernelThatDoesNotCompileRunsOnTheCpuWithOneWarning) {
  Session session(GetParam());
  const Planted planted(uncompilable());
  Executor executor(session, planted.plan());
  testing::internal::CaptureStdout();
  for (int step = 0; step < 3; ++step)
    EXPECT_EQ(executor.run({{planted.x, Planted::fed()}}).get(planted.y), std::vector<float>(12, 3.0f));
  const std::string told = testing::internal::GetCapturedStdout();
  const size_t first = told.find("scale: kernel scale does not compile for ");
  ASSERT_NE(first, std::string::npos) << told;
  EXPECT_THAT(told, HasSubstr("error: "));  // the compiler's line
  EXPECT_THAT(told, HasSubstr("it runs on the CPU instead"));
  EXPECT_EQ(told.find("does not compile", first + 40), std::string::npos) << told;
}

TEST_P(DeviceFailuresTest, OrEndsTheRunWhereThatIsAskedFor) {
  Session session(GetParam());
  const Planted planted(uncompilable());
  Executor executor(session, planted.plan(), {.strict_devices = true});
  EXPECT_THAT(
      [&] {
        for (int step = 0; step < 3; ++step) executor.run({{planted.x, Planted::fed()}}).wait();
      },
      ThrowsMessage<Failure>(testing::AllOf(testing::StartsWith("planted["),
                                            HasSubstr("scale: kernel scale does not compile for "),
                                            HasSubstr("error: "))));
}

TEST_P(DeviceFailuresTest, ALaunchThatIsRefusedEndsTheRunWithItsLabel) {
  Session session(GetParam());
  {
    const Planted planted(does_not_start);
    Executor executor(session, planted.plan());
    const auto run = [&] {
      for (int step = 0; step < 3; ++step) executor.run({{planted.x, Planted::fed()}}).wait();
    };
    EXPECT_THAT(run, ThrowsMessage<Failure>(
                         testing::AllOf(testing::StartsWith("planted["), HasSubstr("scale does not start"))));
    EXPECT_THROW(executor.run({{planted.x, Planted::fed()}}), Failure);
  }
  const Planted sound(nullptr);
  Executor again(session, sound.plan());  // the session goes on
  EXPECT_EQ(again.run({{sound.x, Planted::fed()}}).get(sound.y), std::vector<float>(12, 3.0f));
}

INSTANTIATE_TEST_SUITE_P(On, DeviceFailuresTest,
                         testing::Values(EngineOptions{.engine = "device", .opencl = {0}},
                                         EngineOptions{
                                             .workers = 1, .scheduler = "round_robin", .opencl = {0}}),
                         [](const auto& which) { return which.param.engine; });

}  // namespace
}  // namespace tessera::testing_ops
