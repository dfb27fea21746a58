// Checking a limit on main memory, and playing a plan's steps through under it.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/spill.hpp"

#include <algorithm>
#include <vector>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"
#include "runtime/exec/residency.hpp"

namespace tessera {
namespace {

struct BufferUse {
  int buffer;
  Mode mode;
};

// Every buffer of the task once.
std::vector<BufferUse> buffers_of(const Plan& plan, const Task& task) {
  std::vector<BufferUse> list;
  for (const Stage& stage : task.stages)
    for (const Access& access : stage.accesses) {
      const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
      if (tile.residence == Residence::scratch) continue;
      auto known = std::ranges::find(list, tile.buffer, &BufferUse::buffer);
      if (known == list.end())
        list.push_back({tile.buffer, access.mode});
      else if (known->mode == Mode::read && access.mode != Mode::read)
        known->mode = Mode::update;
    }
  return list;
}

int64_t scratch_of(const Plan& plan, const Task& task) {
  std::vector<TileId> tiles;
  for (const Stage& stage : task.stages)
    for (const Access& access : stage.accesses)
      if (plan.tiles[static_cast<size_t>(access.tile)].residence == Residence::scratch)
        tiles.push_back(access.tile);
  std::ranges::sort(tiles);
  tiles.erase(std::unique(tiles.begin(), tiles.end()), tiles.end());
  int64_t bytes = 0;
  for (TileId tile : tiles) bytes += plan.tiles[static_cast<size_t>(tile)].bytes();
  return bytes;
}

int64_t mib_up(int64_t bytes) { return (bytes + (1 << 20) - 1) >> 20; }

struct Traffic {
  int64_t read = 0, written = 0;
};

// One step; the tasks begin in the plan's order.
Traffic play(const Plan& plan, Residency& books, const Cycle& cycle, int64_t room, int64_t& held) {
  Traffic traffic;
  for (const Task& task : plan.tasks) {
    const std::vector<BufferUse> list = buffers_of(plan, task);
    int64_t missing = 0;
    for (const BufferUse& use : list) {
      ++books[use.buffer].pins;
      if (!books[use.buffer].here) missing += books[use.buffer].bytes;
    }
    while (books.bytes_here() + missing > room) {
      const int victim = books.farthest(&cycle);
      if (victim < 0) break;
      Residency::Buffer& buffer = books[victim];
      if (!books.lost(victim) && buffer.changed) {
        traffic.written += buffer.bytes;
        buffer.changed = false;
      }
      buffer.stored = !books.lost(victim);
      books.leave(victim);
    }
    for (const BufferUse& use : list) {
      if (!books[use.buffer].here && books[use.buffer].stored && use.mode != Mode::write)
        traffic.read += books[use.buffer].bytes;
      books.arrive(use.buffer);
      books.begin(use.buffer, cycle, use.mode);
      --books[use.buffer].pins;
    }
    held = std::max(held, books.bytes_here());
  }
  return traffic;
}

}  // namespace

void check_host_limit(const Plan& plan, const HostLimit& limit, int64_t process, int64_t tiles) {
  int64_t most = 0;
  const Task* largest = nullptr;
  for (const Task& task : plan.tasks) {
    int64_t bytes = scratch_of(plan, task);
    for (const BufferUse& use : buffers_of(plan, task))
      bytes += plan.buffers[static_cast<size_t>(use.buffer)].bytes;
    if (bytes <= most) continue;
    most = bytes;
    largest = &task;
  }
  if (process + most > limit.bytes)
    throw error(
        "run.host_memory = {}: the program alone takes {}, and {} needs {} at once; allow {} or more, or "
        "give "
        "run.tiling smaller tiles",
        limit.bytes >> 20, bytes_text(process), largest ? largest->label : "the plan", bytes_text(most),
        mib_up(process + most));
  if (limit.swap.empty() && process + tiles > limit.bytes)
    throw error(
        "run.host_memory = {}: the plan needs {} of memory; name a folder for what does not fit in run.swap, "
        "or allow {} or more",
        limit.bytes >> 20, bytes_text(process + tiles), mib_up(process + tiles));
}

Spill forecast_spill(const Plan& plan, const HostLimit& limit, int64_t process) {
  const MemoryNeed need = memory_need(plan);
  Spill spill{.process = process + need.engine, .tiles = need.total() - need.engine};
  check_host_limit(plan, limit, spill.process, spill.tiles);
  const Cycle cycle{static_cast<int64_t>(plan.tasks.size())};
  Residency books;
  for (size_t b = 0; b < plan.buffers.size(); ++b) {
    books.add(static_cast<int>(b), plan.buffers[b].bytes);
    books[static_cast<int>(b)].temporary = plan.buffers[b].residence == Residence::intermediate;
  }
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    for (const BufferUse& use : buffers_of(plan, plan.tasks[t]))
      books.expect(use.buffer, cycle, {static_cast<int64_t>(t), use.mode == Mode::write});
  const int64_t elsewhere = spill.tiles - books.bytes();  // further copies of inputs and fetches
  const int64_t room = limit.bytes - spill.process - std::min(elsewhere, limit.bytes / 20);
  int64_t held = 0;
  for (int warm_up = 0; warm_up < 4; ++warm_up) {
    const Traffic traffic = play(plan, books, cycle, room, held);
    spill.read = traffic.read;
    spill.written = traffic.written;
  }
  spill.held = std::min(held + elsewhere, limit.bytes - spill.process);
  spill.held = std::min(spill.held, spill.tiles);
  spill.spilled = spill.tiles - spill.held;
  return spill;
}

}  // namespace tessera
