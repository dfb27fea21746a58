// Code points of UTF-8 text, on ICU's macros.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unicode/utf8.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

inline constexpr std::string_view replacement_character = "\xef\xbf\xbd";  // U+FFFD

// visit(code point, begin, end) for each; a negative code point stands for bytes that are no valid UTF-8.
template <class Visit>
void each_code_point(std::string_view text, Visit&& visit) {
  auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  size_t length = text.size(), at = 0;
  while (at < length) {
    size_t begin = at;
    UChar32 c;
    U8_NEXT(bytes, at, length, c);  // NOLINT(bugprone-inc-dec-in-conditions)
    visit(static_cast<int32_t>(c), begin, at);
  }
}

inline std::string utf8_of(int32_t code_point) {
  char bytes[4];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, code_point);
  return std::string(bytes, static_cast<size_t>(length));
}

}  // namespace tessera
