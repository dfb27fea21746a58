// The vectorised draws are those of the scalar definition, at any start and length.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/codelets/uniform_test.cpp"
#include <hwy/foreach_target.h>

#include "codelets/philox_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
int64_t draw(const Draws& draws, uint64_t first, int64_t n, uint16_t* dst) {
  draws16(draws, first, n, dst);
  return HWY_TARGET;
}
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <vector>

namespace tessera {
HWY_EXPORT(draw);

namespace {

// Every vector target that this machine has.
TEST(PhiloxSimd, DrawsWhatTheScalarDefinitionSays) {
  const Draws draws{.seed = 17, .step = 4000000000u, .stream = 5};
  constexpr uint16_t past = 54321;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const uint64_t first : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 20, (uint64_t{1} << 35) - 21}) {
      for (const int64_t n : {1, 5, 64, 203}) {
        std::vector<uint16_t> drawn(static_cast<size_t>(n) + 1, past);
        ASSERT_EQ(HWY_DYNAMIC_DISPATCH(draw)(draws, first, n, drawn.data()), target);
        for (size_t i = 0; i < static_cast<size_t>(n); ++i)
          ASSERT_EQ(drawn[i], draw16(draws, first + i))
              << hwy::TargetName(target) << " " << first << " + " << i;
        ASSERT_EQ(drawn.back(), past) << "wrote past the end";
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

// The share that is kept, and a mean that dropout leaves as it was.
TEST(DropoutRule, KeepsTheShareThatItSays) {
  for (const float p : {0.1f, 0.5f, 0.93f}) {
    const DropoutRule rule(p);
    constexpr int n = 1 << 18;
    int kept = 0;
    for (uint64_t e = 0; e < n; ++e) kept += rule.keeps({.seed = 1, .step = 2, .stream = 3}, e);
    const double share = static_cast<double>(kept) / n, wanted = 1 - static_cast<double>(p);
    EXPECT_NEAR(share, wanted, 4 * std::sqrt(wanted * (1 - wanted) / n)) << p;
    EXPECT_FLOAT_EQ(rule.factor * (1 - static_cast<float>(rule.least) / 65536), 1);
  }
}

// Whatever p is below 1, something is kept.
TEST(DropoutRule, KeepsSomethingAtTheEnds) {
  EXPECT_EQ(DropoutRule(0).least, 0u);
  EXPECT_EQ(DropoutRule(0).factor, 1.0f);
  EXPECT_EQ(DropoutRule(0.9999999f).least, 65535u);
}

TEST(PhiloxSimd, StreamsStepsAndSeedsAreUnlike) {
  const Draws draws{.seed = 1, .step = 2, .stream = 3};
  EXPECT_NE(uniform(draws, 0), uniform({.seed = 2, .step = 2, .stream = 3}, 0));
  EXPECT_NE(uniform(draws, 0), uniform({.seed = 1, .step = 3, .stream = 3}, 0));
  EXPECT_NE(uniform(draws, 0), uniform({.seed = 1, .step = 2, .stream = 4}, 0));
}

}  // namespace
}  // namespace tessera
#endif
