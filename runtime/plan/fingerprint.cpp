// Telling plans apart.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>
#include <xxhash.h>

#include "runtime/plan/print.hpp"

namespace tessera {

std::string fingerprint(const Plan& plan) {
  std::string text = to_text(plan);
  for (const Task& task : plan.tasks)
    for (const Stage& stage : task.stages) {
      text += fmt::format("{}: {}\n", stage.label, fmt::join(stage.params, " "));
      for (const Access& access : stage.accesses) {
        const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
        text +=
            fmt::format("{} {} {} {} {}\n", name_of(tile.dtype), tile.rows, tile.cols, tile.row0, tile.col0);
      }
    }
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace tessera
