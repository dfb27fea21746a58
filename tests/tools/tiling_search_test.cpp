// The search over tilings with made-up times, and what it writes.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/tiling_search.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "models/train/training_graph.hpp"
#include "runtime/plan/auto_tiling.hpp"
#include "tools/tessera/shapes.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(TilingSearch, FindsTheFastestOfEveryAxis) {
  Config config = config_of(step_shape_named("llama17m"), DType::f32);
  config.model.layers = 1;
  const TrainingGraph training(config);
  std::set<std::string> seen;
  int told = 0;
  const TilingSearch search = search_tilings(config, *training.graph,
                                             {.measure =
                                                  [&](const Tiling& tiling) {
                                                    const std::string text = tiling.to_string();
                                                    EXPECT_TRUE(seen.insert(text).second)
                                                        << text << " is measured twice";
                                                    double seconds = 10;
                                                    if (text.find("rows=128") != std::string::npos)
                                                      seconds -= 1;
                                                    if (text.find("ffn=704x2") != std::string::npos)
                                                      seconds -= 2;
                                                    if (text.find("heads=2x4") != std::string::npos)
                                                      seconds -= 3;
                                                    return seconds;
                                                  },
                                              .progress =
                                                  [&](int measured, int at_most, const Tiling&, double) {
                                                    EXPECT_EQ(measured, ++told);
                                                    EXPECT_LE(measured, at_most);
                                                  }});
  EXPECT_EQ(search.automatic, auto_tiling(*training.graph, {.sequence = 256}));
  EXPECT_EQ(search.automatic_s, 10);
  EXPECT_EQ(search.best_s, 4);
  EXPECT_EQ(search.measured, static_cast<int>(seen.size()));
  EXPECT_THAT(search.best.to_string(),
              testing::AllOf(HasSubstr("rows=128"), HasSubstr("ffn=704x2"), HasSubstr("heads=2x4")));
  EXPECT_EQ(Tiling::parse(search.best.to_string()), search.best);
}

TEST(TilingSearch, SetsTheTilingAndKeepsTheRest) {
  const std::string tiling = "rows=4x2|4x2";
  const std::string text =
      "# mine\n[model]\ntiling_of = 1\n[run]  # here\nworkers = 2\n  tiling = \"auto\"  # old\n";
  EXPECT_EQ(with_tiling(text, tiling),
            "# mine\n[model]\ntiling_of = 1\n[run]  # here\nworkers = 2\ntiling = \"rows=4x2|4x2\"\n");
  EXPECT_EQ(with_tiling("[run]\nworkers = 2", tiling), "[run]\ntiling = \"rows=4x2|4x2\"\nworkers = 2\n");
  EXPECT_EQ(with_tiling("[model]\n", tiling), "[model]\n\n[run]\ntiling = \"rows=4x2|4x2\"\n");
}

}  // namespace
}  // namespace tessera
