// Printing of lines, tables and figures.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

// Characters on the screen; UTF-8's continuation bytes take no room.
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padding(const std::string& text, size_t wanted) {
  return std::string(wanted - std::min(wanted, width(text)), ' ');
}

}  // namespace

void print_line(const std::string& line) {
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fputc('\n', stdout) == EOF)
    throw failure(output_failed);
}

void print_line(const Json& line) {
  print_line(line.dump(-1, ' ', false, Json::error_handler_t::replace));
  flush_output();
}

void flush_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) throw failure(output_failed);
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_)
    for (size_t c = 0; c < row.size(); ++c) {
      if (widths.size() <= c) widths.push_back(0);
      widths[c] = std::max(widths[c], width(row[c]));
    }
  std::vector<char> right(widths.size(), 1);
  for (size_t r = 1; r < rows_.size(); ++r)
    for (size_t c = 0; c < rows_[r].size(); ++c)
      if (!rows_[r][c].empty() && (rows_[r][c][0] < '0' || rows_[r][c][0] > '9')) right[c] = 0;
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      if (c) line += "  ";
      const std::string space = padding(row[c], widths[c]);
      line += right[c] ? space + row[c] : row[c] + space;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

void Table::print() const {
  std::string whole = text();
  whole.pop_back();
  print_line(whole);
}

double rounded(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10, digits - 1 - std::floor(std::log10(std::abs(value))));
  return scale >= 1 ? std::round(value * scale) / scale : std::round(value);
}

std::string count_text(double count) {
  constexpr std::array<const char*, 6> units{"", "k", "M", "G", "T", "P"};
  size_t unit = 0;
  while (count >= 999.5 && unit + 1 < units.size()) {
    count /= 1000;
    ++unit;
  }
  return (unit == 0 && count == std::floor(count) ? fmt::format("{:.0f}", count) : three_digits(count)) +
         units[unit];
}

std::string seconds_text(double seconds) {
  if (seconds < 0.9995e-3) return three_digits(seconds * 1e6) + " µs";
  if (seconds < 0.9995) return three_digits(seconds * 1e3) + " ms";
  return three_digits(seconds) + " s";
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::clamp(std::round(seconds), 0.0, 1e9));
  const int64_t h = whole / 3600, m = whole / 60 % 60, s = whole % 60;
  return h > 0 ? fmt::format("{}:{:02}:{:02}", h, m, s) : fmt::format("{}:{:02}", m, s);
}

}  // namespace tessera
