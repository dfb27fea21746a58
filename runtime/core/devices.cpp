// Reading lists of devices.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/devices.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string_view>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {

DeviceSet parse_devices(std::span<const std::string> words) {
  DeviceSet set;
  bool cpu = false;
  for (const std::string& word : words) {
    const size_t colon = word.find(':');
    const std::string kind = word.substr(0, colon),
                      number = colon < word.size() ? word.substr(colon + 1) : "";
    const std::vector<std::string_view> kinds{"cpu", "cuda", "opencl"};
    if (std::ranges::find(kinds, kind) == kinds.end())
      throw error("{} is not known{}", shown(word), suggestion(kind, kinds));
    int value = 0;
    const auto [end, problem] = std::from_chars(number.data(), number.data() + number.size(), value);
    const bool whole = problem == std::errc() && end == number.data() + number.size() && value >= 0;
    if (kind == "cpu") {
      if (cpu) throw error("cpu is there twice; say it once, cpu:N for N workers");
      if (colon != word.npos && (!whole || value == 0)) throw error("{} is not cpu or cpu:N", shown(word));
      set.cpu = value;
      cpu = true;
      continue;
    }
    if (!whole) throw error("{} names no device; {}:0 is the first, see tessera info", shown(word), kind);
    std::vector<int>& list = kind == "cuda" ? set.cuda : set.opencl;
    if (std::ranges::find(list, value) != list.end()) throw error("{} is there twice", word);
    list.push_back(value);
  }
  if (!cpu) throw error("there are no CPU workers, and a run needs at least one: add cpu:1");
  return set;
}

std::vector<std::string> split_devices(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

}  // namespace tessera
