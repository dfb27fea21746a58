// Independent tasks, chains, a stencil and trees.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/engine_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

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

TileId add_tile(Plan& plan) {
  constexpr int64_t bytes = 64;
  plan.tiles.push_back({.rows = 1, .cols = bytes / 4, .buffer = static_cast<int>(plan.buffers.size())});
  plan.buffers.push_back({.bytes = bytes, .residence = Residence::intermediate});
  return static_cast<int>(plan.tiles.size()) - 1;
}

// The three tiles of task `t`: two that it reads, one that it changes.
class Accesses {
 public:
  Accesses(Plan& plan, const EngineTasks& what) : what_(what) {
    const int n = what.pattern == EnginePattern::independent ? inputs + what.tasks
                  : what.pattern == EnginePattern::stencil   ? 2 * width
                  : what.pattern == EnginePattern::tree      ? 2 * width
                                                             : 3 * std::max(1, what.chains);
    for (int i = 0; i < n; ++i) tiles_.push_back(add_tile(plan));
  }

  std::vector<Access> of(int t) const {
    switch (what_.pattern) {
      case EnginePattern::independent:
        return three(2 * t % inputs, (2 * t + 1) % inputs, inputs + t);
      case EnginePattern::chain:
        return three(0, 1, 2);
      case EnginePattern::chains: {
        const int chain = 3 * (t % what_.chains);
        return three(chain, chain + 1, chain + 2);
      }
      case EnginePattern::stencil: {
        const int row = t / width, column = t % width, above = (row + 1) % 2 * width;
        return three(above + (column + width - 1) % width, above + (column + 1) % width,
                     row % 2 * width + column);
      }
      case EnginePattern::tree:
        break;
    }
    // Node n of a tree joins 2 n + 1 and 2 n + 2; leaves come first, the root, node 0, last.
    const int node = 2 * width - 2 - t % (2 * width - 1);
    return node < width - 1 ? three(2 * node + 1, 2 * node + 2, node) : three(0, 2 * width - 1, node);
  }

 private:
  static constexpr int width = 64;
  static constexpr int inputs = 2 * width;  // so many that neighbours do not fight for one handle

  std::vector<Access> three(int a, int b, int changed) const {
    auto tile = [&](int i) { return tiles_[static_cast<size_t>(i)]; };
    return {read(tile(a)), read(tile(b)), update(tile(changed))};
  }

  const EngineTasks& what_;
  std::vector<TileId> tiles_;
};

}  // namespace

std::string_view name_of(EnginePattern pattern) { return engine_patterns[static_cast<size_t>(pattern)]; }

EnginePattern engine_pattern_named(std::string_view name) {
  for (size_t i = 0; i < engine_patterns.size(); ++i)
    if (engine_patterns[i] == name) return static_cast<EnginePattern>(i);
  throw error("pattern {} is not known{}", shown(name), suggestion(name, engine_patterns));
}

Plan engine_plan(const EngineTasks& what) {
  Plan plan;
  const Accesses accesses(plan, what);
  for (int t = 0; t < what.tasks; ++t) {
    Task task;
    task.label = fmt::format("{}[{}]", name_of(what.pattern), t);
    task.flops = static_cast<double>(what.nanoseconds);
    task.stages.push_back({.kernel = &busy_kernel,
                           .op = nullptr,
                           .accesses = accesses.of(t),
                           .params = {what.nanoseconds},
                           .label = task.label});
    plan.tasks.push_back(std::move(task));
  }
  link_tasks(plan);
  prioritise(plan);
  return plan;
}

}  // namespace tessera
