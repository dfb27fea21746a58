// Half precision: every value survives the way through f32, and rounding goes to nearest even.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/f16.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tessera {
namespace {

TEST(F16, EveryValueSurvivesF32) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    f16 half;
    half.bits = static_cast<uint16_t>(bits);
    float value = static_cast<float>(half);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(static_cast<float>(f16(value)))) << bits;
    else
      ASSERT_EQ(f16(value).bits, half.bits) << value;
  }
}

TEST(F16, RoundsToNearestEvenHalfwayBetweenNeighbours) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    f16 low, high;
    low.bits = static_cast<uint16_t>(bits), high.bits = static_cast<uint16_t>(bits + 1);
    float a = static_cast<float>(low), b = static_cast<float>(high), middle = (a + b) / 2;
    ASSERT_EQ(f16(middle).bits, bits % 2 == 0 ? low.bits : high.bits) << bits;
    ASSERT_EQ(f16(std::nextafter(middle, a)).bits, low.bits) << bits;
    ASSERT_EQ(f16(-std::nextafter(middle, b)).bits, high.bits | 0x8000) << bits;
  }
}

TEST(F16, KnownValues) {
  EXPECT_EQ(f16(1.0f).bits, 0x3c00);
  EXPECT_EQ(f16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(f16(65519.0f).bits, 0x7bff);
  EXPECT_EQ(f16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(f16(INFINITY).bits, 0x7c00);
  EXPECT_EQ(f16(-0.0f).bits, 0x8000);
  EXPECT_EQ(f16(0x1p-24f).bits, 1);
  EXPECT_EQ(static_cast<float>(f16(0x1p-14f)), 0x1p-14f);
}

}  // namespace
}  // namespace tessera
