// The vectorised draws are those of the scalar definition, at any start and length.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/codelets/uniform_test.cpp"
#include <hwy/foreach_target.h>

#include "codelets/philox_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
int64_t draw(const Draws& draws, uint64_t first, int64_t n, float* dst) {
  uniforms(draws, first, n, dst);
  return HWY_TARGET;
}
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <vector>

namespace tessera {
HWY_EXPORT(draw);

namespace {

// Every vector target that this machine has.
TEST(PhiloxSimd, DrawsWhatTheScalarDefinitionSays) {
  const Draws draws{.seed = 17, .step = 4000000000u, .stream = 5};
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const uint64_t first : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 20, (uint64_t{1} << 34) - 21}) {
      for (const int64_t n : {1, 5, 64, 203}) {
        std::vector<float> drawn(static_cast<size_t>(n) + 1, -1.0f);
        ASSERT_EQ(HWY_DYNAMIC_DISPATCH(draw)(draws, first, n, drawn.data()), target);
        for (size_t i = 0; i < static_cast<size_t>(n); ++i)
          ASSERT_EQ(drawn[i], uniform(draws, first + i))
              << hwy::TargetName(target) << " " << first << " + " << i;
        ASSERT_EQ(drawn.back(), -1.0f) << "wrote past the end";
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
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
