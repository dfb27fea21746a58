// Measuring steps: the peers' shapes and flops, and what a report holds.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/bench_step.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "tools/tessera/engine_plan.hpp"
#include "tools/tessera/plan_report.hpp"

namespace tessera {
namespace {

using testing::ElementsAre;

TEST(BenchStep, CountsFlopsAsThePeersDo) {
  // 6 · matrix parameters · tokens + 6 · layers · batch · seq² · width, of PyTorch's parameters.
  EXPECT_NEAR(step_shape_named("gpt30m").flops(), 6.0 * 23068672 * 2048 + 6.0 * 6 * 8 * 65536 * 512, 1);
  EXPECT_NEAR(step_shape_named("llama17m").flops(),
              6.0 * (4 * (4 * 512 * 512 + 3 * 512 * 1408) + 4096 * 512) * 1024 + 6.0 * 4 * 4 * 65536 * 512,
              1);
  EXPECT_EQ(step_shape_named("chargpt").tokens(), 768);
  EXPECT_THROW(step_shape_named("gpt31m"), Error);
}

TEST(BenchStep, ReportsTheMedianStep) {
  Session session({.engine = "threads", .workers = 1});
  Executor executor(session,
                    engine_plan({.pattern = EnginePattern::chain, .tasks = 20, .nanoseconds = 100'000}),
                    {.record = true});
  int started = 0;
  StepReport report = measure_step(step_shape_named("chargpt"), DType::f32,
                                   {.executor = executor,
                                    .start =
                                        [&] {
                                          ++started;
                                          return executor.run();
                                        },
                                    .warmup = 2,
                                    .steps = 5});
  EXPECT_EQ(started, 2 + 1 + 5);
  EXPECT_EQ(report.times.steps, 6);
  EXPECT_GE(report.step_s, 20 * 100e-6 * 0.99);
  EXPECT_EQ(report.share(), 0) << "no ceiling is known";
  report.ceiling_gflops = 100;
  EXPECT_DOUBLE_EQ(report.share(), report.gflops / 100);
  EXPECT_GE(report.times.kernels.at("busy").seconds, 6 * 20 * 100e-6);
  EXPECT_GT(report.peak_bytes, 0);
  EXPECT_LE(report.peak_bytes, peak_resident_bytes());  // the test itself may have touched a page since

  const Json line = as_json(report);
  std::vector<std::string> keys;
  for (const auto& [key, value] : line.items()) {
    keys.push_back(key);
    EXPECT_THAT(std::string(step_keys), testing::HasSubstr(key)) << "not documented";
  }
  EXPECT_THAT(
      keys, ElementsAre("shape", "dtype", "workers", "step_s", "tokens_per_s", "gflops", "ceiling_gflops",
                        "share", "peak_mib", "predicted_mib", "intermediate_mib", "activation_mib", "time"));
  const double all = line.at("time").at("busy").get<double>() + line.at("time").at("idle").get<double>() +
                     line.at("time").at("engine").get<double>();
  EXPECT_NEAR(all, report.times.span / 6, 1e-3 * all);
}

TEST(BenchStep, PeakIsAtLeastWhatIsResident) {
  std::vector<char> large(64 << 20, 1);
  EXPECT_GE(peak_resident_bytes(), resident_bytes());
  EXPECT_GE(resident_bytes(), static_cast<int64_t>(large.size()));
}

}  // namespace
}  // namespace tessera
