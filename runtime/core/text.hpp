// Text for people: what a user wrote, shown safely, what they may have meant, and sizes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

// 'text' in quotes on one line: control characters and invalid UTF-8 escaped, long text cut.
std::string shown(std::string_view text);

// "a, b and c"
std::string listed(std::span<const std::string_view> words);

// The known word that a typo most likely stands for; empty where none is near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

// Ends a sentence about an unknown word: ", is 'nearest' meant?", or "; known are a, b and c" where none is
// near.
std::string suggestion(std::string_view word, std::span<const std::string_view> known);

std::string three_digits(double value);  // significant ones: "1.23", "12.3", "123"
std::string bytes_text(int64_t bytes);   // "512 B", "1.50 GiB"

// Offset of the first byte that is not part of valid UTF-8.
std::optional<size_t> invalid_utf8_at(std::string_view text);

}  // namespace tessera
