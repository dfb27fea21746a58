// Dropout's promises beyond its reference: the share it keeps, masks that no tiling changes, refusals.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/dropout/dropout.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {
namespace {

constexpr int64_t rows = 64, cols = 131;

std::vector<float> dropped(const std::string& tiling, const DropoutOptions& options, int32_t step = 3) {
  Graph graph;
  const Tensor x = graph.input("x", {{"rows", rows}, {"ffn", cols}}, DType::f32);
  const Tensor rng = graph.input("rng", {2}, DType::i32);
  const Tensor y = dropout(x, rng, options);
  graph.fetch(y);
  Session session({.engine = "threads", .workers = 2});
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse(tiling)}));
  const std::vector<float> ones(rows * cols, 1.0f);
  const std::vector<int32_t> state{17, step};
  return executor.run({{x, ones}, {rng, state}}).get(y);
}

TEST(Dropout, TilingsDoNotChangeTheMask) {
  const DropoutOptions options{.p = 0.3f, .stream = 1};
  const std::vector<float> whole = dropped("", options);
  EXPECT_EQ(dropped("rows=7,50|7 ffn=64,2,65", options), whole);
  EXPECT_EQ(dropped("ffn=1,130", options), whole);
}

TEST(Dropout, StepsAndStreamsHaveTheirOwnMasks) {
  const std::vector<float> one = dropped("", {.p = 0.3f, .stream = 1});
  EXPECT_NE(dropped("", {.p = 0.3f, .stream = 2}), one);
  EXPECT_NE(dropped("", {.p = 0.3f, .stream = 1}, 4), one);
}

TEST(Dropout, KeepsItsShareAndTheMean) {
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    const std::vector<float> y = dropped("", {.p = p});
    const double mean = std::accumulate(y.begin(), y.end(), 0.0) / static_cast<double>(y.size());
    EXPECT_NEAR(mean, 1, 4 * std::sqrt(p / (1 - p) / static_cast<double>(y.size()))) << p;  // four deviations
  }
}

TEST(Dropout, RefusesWhatItCannotDo) {
  Graph graph;
  const Tensor x = graph.input("x", {4, 8}, DType::f32), rng = graph.input("rng", {2}, DType::i32);
  EXPECT_EQ(dropout(x, rng, {.p = 0}), x);
  EXPECT_THROW(dropout(x, rng, {.p = 1}), Error);
  EXPECT_THROW(dropout(x, rng, {.p = -0.1f}), Error);
  EXPECT_THROW(dropout(x, x, {.p = 0.1f}), Error);
  EXPECT_THROW(dropout(rng, rng, {.p = 0.1f}), Error);
}

}  // namespace
}  // namespace tessera
