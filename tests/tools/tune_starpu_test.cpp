// tessera tune: a configuration in, one with the fastest tiling out.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/config/config.hpp"
#include "tests/tools/run_program.hpp"

namespace tessera {
namespace {

constexpr auto small = R"([model]
kind = "llama"
layers = 1
heads = 2
width = 16
seq = 8
vocab = 40

[data]
kind = "addition"

[train]  # kept
steps = 3
batch = 8
lr = 1e-3
)";

TEST(Tune, WritesTheWinner) {
  const auto folder = std::filesystem::path(testing::TempDir()) / fmt::format("tessera_tune_{}", getpid());
  std::filesystem::create_directories(folder);
  const auto file = folder / "small.toml", tuned = folder / "small.tuned.toml";
  write_file(file, small);
  const Outcome outcome = run_program(fmt::format("tune '{}' --steps 1 --json", file.string()));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = outcome.json_lines();
  ASSERT_GT(lines.size(), 3u);
  EXPECT_EQ(lines.back().at("what"), "winner");
  EXPECT_EQ(lines.back().at("file"), tuned.string());
  EXPECT_GE(lines.back().at("auto_slower"), 0);
  EXPECT_GT(lines.back().at("step_s"), 0);
  EXPECT_EQ(read_file(file), small);
  EXPECT_EQ(load_config(tuned).run.tiling, lines.back().at("tiling").get<std::string>());
  EXPECT_THAT(read_file(tuned), testing::HasSubstr("[train]  # kept"));

  EXPECT_EQ(run_program(fmt::format("tune '{}' --steps 1 --write", file.string())).code, 0);
  EXPECT_NE(load_config(file).run.tiling, "auto");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tessera
