// Hashing what a task does.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/footprint.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <iterator>

namespace tessera {

// Flops stand for what shapes do not say, such as how far back an attention window reaches.
uint64_t footprint(const Plan& plan, const Task& task) {
  std::string text;
  for (const Stage& stage : task.stages) {
    fmt::format_to(std::back_inserter(text), "{} {}", stage.kernel ? stage.kernel->name : "", stage.flops);
    for (const Access& access : stage.accesses) {
      const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
      fmt::format_to(std::back_inserter(text), " {}{}:{}x{}", static_cast<int>(access.mode),
                     name_of(tile.dtype), tile.rows, tile.cols);
    }
    text += '\n';
  }
  return XXH3_64bits(text.data(), text.size());
}

bool reads_16_bits(const Plan& plan, const Task& task) {
  for (const Stage& stage : task.stages)
    for (const Access& access : stage.accesses)
      if (access.mode != Mode::write && size_of(plan.tiles[static_cast<size_t>(access.tile)].dtype) == 2)
        return true;
  return false;
}

}  // namespace tessera
