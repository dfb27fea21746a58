// Tilings: parsing, printing and applying cuts.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/tiling.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t from = 0;;) {
    size_t to = text.find(separator, from);
    parts.push_back(text.substr(from, to - from));
    if (to == std::string_view::npos) return parts;
    from = to + 1;
  }
}

int64_t parse_size(std::string_view digits, std::string_view axis) {
  int64_t value = 0;
  auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (problem != std::errc() || end != digits.data() + digits.size() || value < 1 || value > 1'000'000'000)
    throw error("tiling: axis '{}': '{}' is not a size; write e.g. {}=256x4|256,200", axis, digits, axis);
  return value;
}

constexpr size_t most_cuts = 1'000'000;  // of one axis: what is more is a slip of the pen

std::string text_of(const std::vector<int64_t>& sizes) {
  std::string text;
  for (size_t i = 0; i < sizes.size();) {
    size_t run = i;
    while (run < sizes.size() && sizes[run] == sizes[i]) ++run;
    if (i) text += ',';
    text += std::to_string(sizes[i]);
    if (run - i > 1) text += 'x' + std::to_string(run - i);
    i = run;
  }
  return text;
}

std::string text_of(const std::vector<std::vector<int64_t>>& groups) {
  std::string text;
  for (const auto& sizes : groups) text += (text.empty() ? "" : "|") + text_of(sizes);
  return text;
}

}  // namespace

Cuts::Cuts(std::vector<int64_t> at, std::vector<int> groups)
    : at_(std::move(at)), groups_(std::move(groups)) {}

int Cuts::cut_of(int64_t element) const {
  return static_cast<int>(std::upper_bound(at_.begin(), at_.end(), element) - at_.begin()) - 1;
}

std::string Cuts::to_string() const {
  std::vector<std::vector<int64_t>> groups;
  for (int group = 0; group < group_count(); ++group) {
    groups.emplace_back();
    for (int cut = group_begin(group); cut < group_end(group); ++cut) groups.back().push_back(size(cut));
  }
  return text_of(groups);
}

Cuts Cuts::group_cuts() const {
  std::vector<int64_t> at{0};
  std::vector<int> groups{0};
  for (int group = 0; group < group_count(); ++group) {
    at.push_back(end(group_end(group) - 1));
    groups.push_back(group + 1);
  }
  return Cuts(std::move(at), std::move(groups));
}

Tiling Tiling::parse(std::string_view text) {
  Tiling tiling;
  for (std::string_view word : split(text, ' ')) {
    if (word.empty()) continue;
    size_t equals = word.find('=');
    if (equals == std::string_view::npos || equals == 0)
      throw error("tiling: '{}' is not of the form axis=sizes, e.g. rows=256x4|256x4", word);
    std::string_view axis = word.substr(0, equals);
    std::vector<std::vector<int64_t>> groups;
    size_t n_cuts = 0;
    for (std::string_view group : split(word.substr(equals + 1), '|')) {
      groups.emplace_back();
      for (std::string_view item : split(group, ',')) {
        size_t times = item.find('x');
        int64_t size = parse_size(item.substr(0, times), axis);
        int64_t repeat = times == std::string_view::npos ? 1 : parse_size(item.substr(times + 1), axis);
        n_cuts += static_cast<size_t>(repeat);
        if (n_cuts > most_cuts)
          throw error("tiling: axis '{}': {} cuts are too many; at most {}", axis, n_cuts, most_cuts);
        groups.back().insert(groups.back().end(), static_cast<size_t>(repeat), size);
      }
    }
    if (tiling.has(std::string(axis))) throw error("tiling: axis '{}' is given twice", axis);
    tiling.cut(std::string(axis), std::move(groups));
  }
  return tiling;
}

Tiling& Tiling::cut(const std::string& axis, std::vector<std::vector<int64_t>> groups) {
  if (axis.empty()) throw error("tiling: an axis without a name is never cut");
  bool fits = !groups.empty();
  for (const auto& group : groups)
    fits = fits && !group.empty() && *std::min_element(group.begin(), group.end()) > 0;
  if (!fits) throw error("tiling: axis '{}': every group needs a cut and every cut a positive size", axis);
  axes_[axis] = std::move(groups);
  return *this;
}

Tiling& Tiling::cut_evenly(const std::string& axis, int64_t total_units, int64_t size, int groups) {
  if (total_units < 1 || size < 1 || groups < 1)
    throw error("tiling: axis '{}': {} units in cuts of {} and {} groups; all must be positive", axis,
                total_units, size, groups);
  int64_t count = (total_units + size - 1) / size;
  int64_t n_groups = std::min<int64_t>(groups, count);
  std::vector<std::vector<int64_t>> sizes(static_cast<size_t>(n_groups));
  for (int64_t i = 0; i < count; ++i)
    sizes[static_cast<size_t>(i * n_groups / count)].push_back(std::min(size, total_units - i * size));
  return cut(axis, std::move(sizes));
}

Tiling Tiling::with(const std::string& axis, const Tiling& other) const {
  Tiling result = *this;
  result.axes_.erase(axis);
  if (auto found = other.axes_.find(axis); found != other.axes_.end()) result.axes_.insert(*found);
  return result;
}

Cuts Tiling::cuts(const Dim& dim) const {
  auto found = axes_.find(dim.axis);
  if (found == axes_.end()) return Cuts(dim.size);
  int64_t total = 0;
  for (const auto& group : found->second) total = std::accumulate(group.begin(), group.end(), total);
  if (total != dim.units())
    throw error("tiling: axis '{}' has {} units, its cuts {} add up to {}", dim.axis, dim.units(),
                text_of(found->second), total);
  std::vector<int64_t> at{0};
  std::vector<int> groups{0};
  for (const auto& group : found->second) {
    for (int64_t units : group) at.push_back(at.back() + units * dim.unit);
    groups.push_back(static_cast<int>(at.size()) - 1);
  }
  return Cuts(std::move(at), std::move(groups));
}

std::string Tiling::to_string() const {
  std::string text;
  for (const auto& [axis, groups] : axes_) {
    if (!text.empty()) text += ' ';
    text += axis + '=' + text_of(groups);
  }
  return text;
}

}  // namespace tessera
