// Text for error lines: safe quoting, spelling suggestions, the UTF-8 check.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/text.hpp"

#include <gtest/gtest.h>

#include <array>

namespace tessera {
namespace {

TEST(Text, ShownOnOneLineWhateverItHolds) {
  EXPECT_EQ(shown("layers"), "'layers'");
  EXPECT_EQ(shown("a\nb\x7f"), "'a\\x0ab\\x7f'");
  EXPECT_EQ(shown("é€"), "'é€'");
  EXPECT_EQ(shown("\xe2\x82!"), "'\\xe2\\x82!'");
  EXPECT_LT(shown(std::string(100000, 'x')).size(), 100u);
  EXPECT_TRUE(shown(std::string(100000, 'x')).ends_with("…'"));
}

TEST(Text, SuggestsTheNearestWordAndNoFarOne) {
  constexpr std::array<std::string_view, 4> known{"layers", "heads", "kv_heads", "vocab"};
  EXPECT_EQ(nearest("layer", known), "layers");
  EXPECT_EQ(nearest("laeyrs", known), "layers");
  EXPECT_EQ(nearest("kvheads", known), "kv_heads");
  EXPECT_EQ(nearest("temperature", known), "");
  EXPECT_EQ(nearest("", known), "");
  EXPECT_EQ(suggestion("haeds", known), ", is 'heads' meant?");
  EXPECT_EQ(suggestion("zzz", known), "; known are layers, heads, kv_heads and vocab");
  EXPECT_EQ(listed(known), "layers, heads, kv_heads and vocab");
}

TEST(Text, FindsTheFirstByteOfInvalidUtf8) {
  EXPECT_EQ(invalid_utf8_at("aé€😀"), std::nullopt);
  EXPECT_EQ(invalid_utf8_at(""), std::nullopt);
  EXPECT_EQ(invalid_utf8_at("ab\xff"), 2u);
  EXPECT_EQ(invalid_utf8_at("a\xe2\x82"), 1u);
  EXPECT_EQ(invalid_utf8_at("\xc0\x80"), 0u);          // overlong
  EXPECT_EQ(invalid_utf8_at("\xed\xa0\x80"), 0u);      // surrogate
  EXPECT_EQ(invalid_utf8_at("\xf4\x90\x80\x80"), 0u);  // beyond U+10FFFF
}

}  // namespace
}  // namespace tessera
