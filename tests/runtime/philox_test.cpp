// Philox against the published known answers, and its helpers at their ends.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/philox.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(Philox, KnownAnswersOfRandom123) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, HelpersStayInTheirRanges) {
  EXPECT_EQ(philox_key(0x123456789abcdef0), (PhiloxKey{0x9abcdef0, 0x12345678}));
  EXPECT_EQ(unit_float(0), 0.0f);
  EXPECT_LT(unit_float(~0u), 1.0f);
  EXPECT_EQ(draw_below(10, ~0u, ~0u), 9u);
  EXPECT_EQ(draw_below(10, ~0u, 0), 0u);
  EXPECT_EQ(draw_below(10, 0, 0x80000000u), 5u);
}

}  // namespace
}  // namespace tessera
