// Lifetimes: intermediate tiles share buffers once their last reader is done.
// SPDX-License-Identifier: Apache-2.0
//
// Buffers are assigned in plan order, before anything runs; link_tasks then adds the write-after-read edges.
// A freed buffer is reused only some tasks later, so that those edges do not tie neighbours together.
#include <deque>
#include <map>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

constexpr int reuse_distance = 16;

struct Free {
  int buffer, since;
};
using FreeBuffers =
    std::map<int64_t, std::deque<Free>>;  // by size; of one size, in the order they became free

// The least wasteful buffer that has been free for a while, or -1.
int take(FreeBuffers& free, int64_t bytes, int now) {
  for (auto at = free.lower_bound(bytes); at != free.end() && at->first <= bytes + bytes / 4; ++at) {
    auto& [size, buffers] = *at;
    if (buffers.front().since + reuse_distance > now) continue;
    const int buffer = buffers.front().buffer;
    buffers.pop_front();
    if (buffers.empty()) free.erase(at);
    return buffer;
  }
  return -1;
}

}  // namespace

void assign_buffers(Plan& plan) {
  const int n = static_cast<int>(plan.tasks.size());
  std::vector<int> first(plan.tiles.size(), -1), last(plan.tiles.size(), -1);
  for (int t = 0; t < n; ++t)
    for (const Stage& stage : plan.tasks[static_cast<size_t>(t)].stages)
      for (const Access& access : stage.accesses) {
        if (first[static_cast<size_t>(access.tile)] < 0) first[static_cast<size_t>(access.tile)] = t;
        last[static_cast<size_t>(access.tile)] = t;
      }

  auto new_buffer = [&](int64_t bytes, Residence residence, TileId tile) {
    plan.buffers.push_back({bytes, residence, tile});
    return static_cast<int>(plan.buffers.size()) - 1;
  };
  for (size_t id = 0; id < plan.tiles.size(); ++id) {
    Tile& tile = plan.tiles[id];
    if (tile.residence == Residence::intermediate && first[id] >= 0 && first[id] == last[id])
      tile.residence = Residence::scratch;
    else if (tile.residence != Residence::intermediate)
      tile.buffer = new_buffer(tile.bytes(), tile.residence, static_cast<int>(id));
  }

  std::vector<std::vector<TileId>> starts(static_cast<size_t>(n)), ends(static_cast<size_t>(n));
  for (size_t id = 0; id < plan.tiles.size(); ++id)
    if (plan.tiles[id].residence == Residence::intermediate && first[id] >= 0) {
      starts[static_cast<size_t>(first[id])].push_back(static_cast<int>(id));
      ends[static_cast<size_t>(last[id])].push_back(static_cast<int>(id));
    }
  FreeBuffers free;
  for (int t = 0; t < n; ++t) {
    for (TileId id : starts[static_cast<size_t>(t)]) {
      Tile& tile = plan.tiles[static_cast<size_t>(id)];
      tile.buffer = take(free, tile.bytes(), t);
      if (tile.buffer < 0) tile.buffer = new_buffer(tile.bytes(), Residence::intermediate, -1);
    }
    for (TileId id : ends[static_cast<size_t>(t)]) {
      const int buffer = plan.tiles[static_cast<size_t>(id)].buffer;
      free[plan.buffers[static_cast<size_t>(buffer)].bytes].push_back({buffer, t});
    }
  }
}

}  // namespace tessera
