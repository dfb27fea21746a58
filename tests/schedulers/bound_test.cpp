// Bounds on a step: the linear program against its dual, and paths.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "runtime/core/philox.hpp"
#include "tests/schedulers/small_plan.hpp"

namespace tessera::testing_schedulers {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();
using Pairs = std::vector<std::array<double, 2>>;

TEST(AreaBound, OfOneKindIsTheMean) {
  EXPECT_DOUBLE_EQ(area_bound(Pairs{{6, never}, {2, never}}, {4, 0}), 2);
  EXPECT_DOUBLE_EQ(area_bound(Pairs{{never, 6}, {never, 2}}, {4, 2}), 4);
  EXPECT_DOUBLE_EQ(area_bound(Pairs{{6, 1}, {2, 1}}, {4, 0}), 2) << "no worker of the second kind";
  EXPECT_EQ(area_bound(Pairs{}, {4, 1}), 0);
}

TEST(AreaBound, GivesEachKindWhatItIsBestAt) {
  // The device takes the first task and such a part p of the second that 1 + 2 p = 4.5 (1 - p).
  EXPECT_DOUBLE_EQ(area_bound(Pairs{{10, 1}, {4.5, 2}}, {1, 1}), 1 + 3.5 / 6.5 * 2);
  EXPECT_DOUBLE_EQ(area_bound(Pairs{{4, 2}}, {1, 1}), 4.0 / 3) << "a shared task";
}

// The dual: a price for each kind's time, together 1; each task where it is cheaper. Its best price lies
// where some task is indifferent, and by duality costs as much as the least time.
double dual(const Pairs& seconds, std::array<int, 2> workers) {
  double best = 0;
  for (const auto& at : seconds) {
    const double a = at[0] / workers[0], b = at[1] / workers[1], price = b / (a + b);
    double cost = 0;
    for (const auto& task : seconds)
      cost += std::min(price * task[0] / workers[0], (1 - price) * task[1] / workers[1]);
    best = std::max(best, cost);
  }
  return best;
}

TEST(AreaBound, IsThatOfTheDual) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Pairs seconds;
    const auto draw = [&](uint32_t i, uint32_t k) { return unit_float(philox({i, k, 0, 0}, {seed, 0})[0]); };
    const uint32_t n = 1 + static_cast<uint32_t>(40 * draw(0, 9));
    for (uint32_t i = 0; i < n; ++i) seconds.push_back({0.01 + 5 * draw(i, 0), 0.01 + draw(i, 1)});
    const std::array<int, 2> workers{1 + static_cast<int>(9 * draw(0, 2)),
                                     1 + static_cast<int>(3 * draw(0, 3))};
    const double expected = dual(seconds, workers);
    EXPECT_NEAR(area_bound(seconds, workers), expected, 1e-9 * expected) << seed;
  }
}

TEST(Bound, IsTheLongestPathWhereThatIsLonger) {
  SmallPlan plan;
  plan.task({.seconds = 2});
  plan.task({.seconds = 6, .after = {0}});
  plan.task({.seconds = 1, .after = {0}});
  const Bound cores = bound(plan.plan, machine_of("cores=3"));
  EXPECT_DOUBLE_EQ(cores.critical_path, 8);
  EXPECT_DOUBLE_EQ(cores.area, 3);
  EXPECT_DOUBLE_EQ(cores.seconds(), 8);
  const Bound mixed = bound(plan.plan, machine_of("cores=3 cuda=\"a\"/1GiB", 4));
  EXPECT_DOUBLE_EQ(mixed.critical_path, 2) << "every task where it is fastest";
  EXPECT_DOUBLE_EQ(mixed.area, 9.0 / 7);
}

}  // namespace
}  // namespace tessera::testing_schedulers
