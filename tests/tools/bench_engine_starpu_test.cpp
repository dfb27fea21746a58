// The engine's measurement on StarPU.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "runtime/core/machine.hpp"
#include "tests/tools/run_program.hpp"

namespace tessera {
namespace {

TEST(BenchEngine, RunsOnStarPU) {
  const Outcome outcome = run_program(
      "bench engine --scheduler lws --scheduler eager --pattern stencil --task-us 0 --tasks 640 --steps 3 "
      "--json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = outcome.json_lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].at("scheduler"), "eager");
  for (const auto& line : lines) {
    EXPECT_EQ(line.at("workers"), usable_cores());
    EXPECT_EQ(line.at("tasks"), 640);
    EXPECT_GT(line.at("us_per_task"), 0.01);
    EXPECT_TRUE(line.at("efficiency").is_null());
  }
}

}  // namespace
}  // namespace tessera
