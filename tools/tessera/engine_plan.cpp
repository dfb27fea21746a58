// Independent tasks, a chain and a stencil.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/engine_plan.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"
#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

void be_busy(const TileArgs& args) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(args.params[0]);
  while (args.params[0] > 0 && std::chrono::steady_clock::now() < until) continue;
}

const Kernel busy_kernel{.name = "busy", .cpu = be_busy};
constexpr std::array<std::string_view, 3> names{"independent", "chain", "stencil"};

TileId add_tile(Plan& plan) {
  constexpr int64_t bytes = 64;
  plan.tiles.push_back({.rows = 1, .cols = bytes / 4, .buffer = static_cast<int>(plan.buffers.size())});
  plan.buffers.push_back({.bytes = bytes, .residence = Residence::intermediate});
  return static_cast<int>(plan.tiles.size()) - 1;
}

}  // namespace

std::string_view name_of(EnginePattern pattern) { return names[static_cast<size_t>(pattern)]; }

EnginePattern engine_pattern_named(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<EnginePattern>(i);
  throw error("pattern {} is not known{}", shown(name), suggestion(name, names));
}

Plan engine_plan(EnginePattern pattern, int tasks, int64_t nanoseconds) {
  constexpr int width = 64;  // of the stencil
  constexpr int inputs =
      2 * width;  // that independent tasks read, so that neighbours do not fight for one handle
  Plan plan;
  std::vector<TileId> tiles;
  const int n_tiles = pattern == EnginePattern::independent ? tasks + inputs
                      : pattern == EnginePattern::chain     ? 3
                                                            : 2 * width;
  for (int i = 0; i < n_tiles; ++i) tiles.push_back(add_tile(plan));
  auto tile = [&](int i) { return tiles[static_cast<size_t>(i)]; };
  for (int t = 0; t < tasks; ++t) {
    std::vector<Access> accesses;
    if (pattern == EnginePattern::stencil) {  // each cell from its neighbours in the row above
      const int row = t / width, column = t % width, above = (row + 1) % 2 * width;
      accesses = {read(tile(above + (column + width - 1) % width)), read(tile(above + (column + 1) % width)),
                  update(tile(row % 2 * width + column))};
    } else if (pattern == EnginePattern::chain) {
      accesses = {read(tile(0)), read(tile(1)), update(tile(2))};
    } else {
      accesses = {read(tile(2 * t % inputs)), read(tile((2 * t + 1) % inputs)), update(tile(inputs + t))};
    }
    Task task;
    task.label = fmt::format("{}[{}]", name_of(pattern), t);
    task.flops = static_cast<double>(nanoseconds);
    task.stages.push_back({.kernel = &busy_kernel,
                           .op = nullptr,
                           .accesses = std::move(accesses),
                           .params = {nanoseconds},
                           .label = task.label});
    plan.tasks.push_back(std::move(task));
  }
  link_tasks(plan);
  prioritise(plan);
  return plan;
}

}  // namespace tessera
