// Names and sizes of launches.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/queue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace tessera {

std::string DeviceKernel::options() const {
  std::string text;
  for (size_t k = 0; k < n_defines; ++k) {
    const Define& define = defines[k];
    text += define.is_type ? fmt::format(" -D{}={}", define.name, name_of(static_cast<DType>(define.value)))
                           : fmt::format(" -D{}={}", define.name, define.value);
  }
  return text;
}

size_t DeviceKernelHash::operator()(const DeviceKernel& kernel) const {
  size_t h = std::hash<std::string_view>()(kernel.op) * 31 + std::hash<std::string_view>()(kernel.name);
  for (size_t k = 0; k < kernel.n_defines; ++k)
    h = h * 1000003 + static_cast<size_t>(kernel.defines[k].value);
  return h;
}

namespace {

constexpr int64_t wide = 8;  // WIDE of portable.h, where it is no CPU

int64_t count(int64_t n, int64_t each) { return (n + each - 1) / each; }

Grid each_of(int64_t n, int64_t by) {
  constexpr int items = 256;
  return {.groups = {count(n, items * by), 1, 1}, .items = {items, 1}, .each = n};
}

Grid each_in_rows(int64_t rows, int64_t cols, int64_t by) {
  constexpr int items = 128;
  return {.groups = {rows, count(cols, items * by), 1}, .items = {items, 1}, .in_row = cols};
}

}  // namespace

Grid for_each(int64_t n) { return each_of(n, 1); }
Grid for_each_in_rows(int64_t rows, int64_t cols) { return each_in_rows(rows, cols, 1); }
Grid for_each_wide(int64_t n) { return each_of(n, wide); }
Grid for_each_wide_in_rows(int64_t rows, int64_t cols) { return each_in_rows(rows, cols, wide); }

Grid in_runs(const Grid& grid, int cores) {
  if (grid.each == 0 && grid.in_row == 0) return grid;
  const int64_t groups =
      grid.in_row > 0 ? grid.groups[0]
                      : std::max(count(grid.each, 32768), std::min(count(grid.each, 64), int64_t{4} * cores));
  return {.groups = {groups, 1, 1}, .items = {1, 1}};
}

std::string fault_text(std::string what, int row, int value) {
  const auto fill = [&](std::string_view name, int number) {
    if (const size_t at = what.find(name); at != std::string::npos)
      what.replace(at, name.size(), std::to_string(number));
  };
  fill("{row}", row);
  fill("{value}", value);
  return what;
}

}  // namespace tessera
