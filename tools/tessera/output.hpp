// How subcommands print: JSON lines for programs, aligned tables and round figures for people.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/core/text.hpp"

namespace tessera {

using Json = nlohmann::ordered_json;  // keys stay in the order in which they are documented

void print_line(const Json& line);
void print_line(const std::string& line);
void flush_output();  // Failure where standard output cannot be written

constexpr const char* output_failed =
    "cannot write to standard output; free some space, or send it somewhere else";

// Columns as wide as they need to be; those of numbers (all cells start with a digit) to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> heads) : rows_{std::move(heads)} {}
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text() const;
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

double rounded(double value, int digits);   // significant digits, for JSON
std::string count_text(double count);       // "950", "12.3k", "4.56G"
std::string seconds_text(double seconds);   // "12.3 µs", "4.56 ms", "7.89 s"
std::string duration_text(double seconds);  // "0:07", "12:34", "1:02:03"

}  // namespace tessera
