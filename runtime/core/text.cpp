// Quoting, spelling suggestions and the UTF-8 check, on ICU's macros.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/text.hpp"

#include <fmt/format.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace tessera {
namespace {

constexpr size_t longest_shown = 80;

// Edits (insert, delete, replace, swap of neighbours) that lead from a to b.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(above, row);
  }
  return above[b.size()];
}

}  // namespace

std::string shown(std::string_view text) {
  std::string out = "'";
  auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  size_t length = text.size(), at = 0;
  while (at < length && out.size() < longest_shown) {
    size_t begin = at;
    UChar32 c;
    U8_NEXT(bytes, at, length, c);  // NOLINT(bugprone-inc-dec-in-conditions)
    if (c < 0)
      for (size_t i = begin; i < at; ++i) out += fmt::format("\\x{:02x}", bytes[i]);
    else if (c < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    else
      out.append(text.substr(begin, at - begin));
  }
  return out + (at < length ? "…'" : "'");
}

std::string listed(std::span<const std::string_view> words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " and " : ", ";
    out += words[i];
  }
  return out;
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
  std::string_view best;
  size_t best_distance = 1 + std::max<size_t>(1, std::min<size_t>(word.size(), 12) / 3);
  if (word.size() > 64) return best;
  for (std::string_view candidate : known) {
    size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> known) {
  std::string_view guess = nearest(word, known);
  return guess.empty() ? fmt::format("; known are {}", listed(known))
                       : fmt::format(", is '{}' meant?", guess);
}

std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

std::string bytes_text(int64_t bytes) {
  constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1000 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  const bool whole = value == std::floor(value);
  return (whole ? fmt::format("{:.0f}", value) : three_digits(value)) + ' ' + units[unit];
}

std::optional<size_t> invalid_utf8_at(std::string_view text) {
  auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  size_t length = text.size(), at = 0;
  while (at < length) {
    size_t begin = at;
    UChar32 c;
    U8_NEXT(bytes, at, length, c);  // NOLINT(bugprone-inc-dec-in-conditions)
    if (c < 0) return begin;
  }
  return std::nullopt;
}

}  // namespace tessera
