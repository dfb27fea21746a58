// Measuring generation, on StarPU.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/run_program.hpp"

namespace tessera {
namespace {

TEST(BenchDecode, MeasuresOneSequenceAndSeveral) {
  for (const std::string dtype : {"f32", "bf16"}) {
    const Outcome outcome = run_program(
        "bench decode chargpt --prompt 70 --tokens 3 --batch 1 --batch 3 --json --dtype " + dtype);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const auto lines = outcome.json_lines();
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[1].at("batch"), 3);
    for (const auto& line : lines) {
      EXPECT_EQ(line.at("dtype"), dtype);
      EXPECT_GT(line.at("prefill_tokens_per_s"), 1);
      const double step_ms = line.at("step_ms");
      EXPECT_NEAR(line.at("decode_tokens_per_s").get<double>() * step_ms, 1e3 * line.at("batch").get<int>(),
                  1);
      // 4 layers of 12 · 128² and a head of 65 · 128.
      EXPECT_NEAR(line.at("weights_gb_per_s").get<double>() * step_ms * 1e6,
                  (4 * 12 * 128 * 128 + 65 * 128) * (dtype == "f32" ? 4.0 : 2.0), 2e3);
      EXPECT_GT(line.at("share"), 0);
    }
  }
}

TEST(BenchDecode, KeepsKeysAndValuesAsAsked) {
  for (const std::string asked : {"", "f32", "bf16", "f16"}) {
    const Outcome outcome = run_program("bench decode chargpt --prompt 9 --tokens 2 --batch 1 --json" +
                                        (asked.empty() ? "" : " --kv-dtype " + asked));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.json_lines().at(0).at("kv_dtype"), asked.empty() ? "f32" : asked);
  }
}

}  // namespace
}  // namespace tessera
