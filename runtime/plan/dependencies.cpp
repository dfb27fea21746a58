// Dependencies between tasks, from what they read and write, within a step and into the next.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

// Readers and the writer of one piece of memory, as the tasks go by in program order.
struct History {
  int first_writer = -1, writer = -1;
  std::vector<int> first_readers;  // before the first write
  std::vector<int> readers;        // since the last write
};

// Tasks come in order, so the same one twice is twice in a row.
void add(std::vector<int>& tasks, int task) {
  if (tasks.empty() || tasks.back() != task) tasks.push_back(task);
}

void make_unique(std::vector<int>& tasks) {
  std::sort(tasks.begin(), tasks.end());
  tasks.erase(std::unique(tasks.begin(), tasks.end()), tasks.end());
}

}  // namespace

void link_tasks(Plan& plan) {
  std::vector<History> by_tile(plan.tiles.size()), by_buffer(plan.buffers.size());
  auto history = [&](TileId id) -> History& {
    const int buffer = plan.tiles[static_cast<size_t>(id)].buffer;
    return buffer >= 0 ? by_buffer[static_cast<size_t>(buffer)] : by_tile[static_cast<size_t>(id)];
  };
  std::vector<std::vector<int>> before(plan.tasks.size());
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    const int task = static_cast<int>(t);
    plan.tasks[t].next.clear();
    plan.tasks[t].next_step.clear();
    plan.tasks[t].n_before = plan.tasks[t].n_before_step = 0;
    for (const Stage& stage : plan.tasks[t].stages)
      for (const Access& access : stage.accesses) {
        History& past = history(access.tile);
        if (access.mode == Mode::read) {
          if (past.writer == task) continue;  // an earlier stage of this task
          if (past.writer >= 0) before[t].push_back(past.writer);
          if (past.first_writer < 0) add(past.first_readers, task);
          add(past.readers, task);
        } else {
          for (int reader : past.readers)
            if (reader != task) before[t].push_back(reader);
          // Readers wait for the writer themselves.
          if (past.readers.empty() && past.writer >= 0 && past.writer != task)
            before[t].push_back(past.writer);
          if (past.first_writer < 0) past.first_writer = task;
          past.writer = task;
          past.readers.clear();
        }
      }
    make_unique(before[t]);
    plan.tasks[t].n_before = static_cast<int>(before[t].size());
  }
  for (size_t t = 0; t < before.size(); ++t)
    for (int earlier : before[t])
      plan.tasks[static_cast<size_t>(earlier)].next.push_back(static_cast<int>(t));

  auto carry = [&](int from, int to) { plan.tasks[static_cast<size_t>(from)].next_step.push_back(to); };
  auto carry_all = [&](const History& past) {
    if (past.first_writer < 0) return;  // only read
    for (int reader : past.first_readers) carry(past.writer, reader);
    for (int reader : past.readers) carry(reader, past.first_writer);
    if (past.first_readers.empty() && past.readers.empty()) carry(past.writer, past.first_writer);
  };
  for (size_t b = 0; b < by_buffer.size(); ++b)  // inputs and fetches have a copy for every step in flight
    if (plan.buffers[b].residence == Residence::intermediate ||
        plan.buffers[b].residence == Residence::variable)
      carry_all(by_buffer[b]);
  for (Task& task : plan.tasks) {
    make_unique(task.next_step);
    for (int later : task.next_step) ++plan.tasks[static_cast<size_t>(later)].n_before_step;
  }
}

}  // namespace tessera
