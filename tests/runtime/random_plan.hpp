// Random plans, and two ways to run them by hand: in order, and as freely as their dependencies allow.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/plan/passes.hpp"
#include "runtime/plan/plan.hpp"

namespace tessera::testing_ops {

// params: the task's number, and how many tiles at the end are written.
inline void mix_words(const TileArgs& args) {
  uint32_t h = static_cast<uint32_t>(args.params[0]) * 2654435761u + 1;
  for (const TileView& tile : args.tiles.first(args.count() - 1))
    for (int64_t i = 0; i < tile.size(); ++i) h = (h ^ tile.as<uint32_t>()[i]) * 16777619u + 1;
  const TileView& out = args[args.count() - 1];
  for (int64_t i = 0; i < out.size(); ++i) {
    uint32_t& value = out.as<uint32_t>()[i];
    value = (h = h * 1664525u + 1013904223u) ^ (args.params[1] ? value * 31 : 0);
  }
}

inline const Kernel heavy_mix{.name = "heavy", .cpu = mix_words};
inline const Kernel light_mix{.name = "light", .cpu = mix_words, .light = true};

inline constexpr int random_plan_rows = 3;
inline constexpr uint32_t poisoned_word = 0xdeadbeef;

using Words = std::vector<uint32_t>;

inline void run_stage(const Plan& plan, const Stage& stage, const std::function<Words&(TileId)>& memory) {
  std::vector<TileView> views;
  for (const Access& access : stage.accesses) {
    const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
    Words& words = memory(access.tile);
    if (access.mode == Mode::write) std::fill_n(words.begin(), tile.rows * tile.cols, poisoned_word);
    views.push_back({words.data(), tile.dtype, tile.rows, tile.cols, tile.row0, tile.col0});
  }
  stage.kernel->cpu({views, nullptr, stage.params});
}

inline Words words_for(const Plan& plan, TileId id, uint32_t value) {
  const Tile& tile = plan.tiles[static_cast<size_t>(id)];
  return Words(static_cast<size_t>(tile.rows * tile.cols), value);
}

// Tiles of 32-bit words; every stage mixes what it reads into what it writes, so that any mistake shows.
class RandomPlan {
 public:
  explicit RandomPlan(uint32_t seed, int n_tasks = 40);

  // What the fetches hold after each step, and the variables at the end.
  using Values = std::vector<std::vector<uint32_t>>;
  // One task after the other, every tile in memory of its own.
  Values run_in_order(int steps) const;
  // Buffers shared as assigned, steps overlapping, ready tasks in random order: only next and next_step
  // count.
  Values run_overlapping(int steps, uint32_t seed) const;

  // Stages are known by the number of the task they came from.
  std::vector<std::pair<int64_t, int64_t>> dependencies() const;  // as linked
  std::vector<int64_t> places() const;                            // of every stage in the plan's order
  size_t n_stages() const;

  // The input's value of one element in one step.
  static uint32_t fed(int64_t step, TileId tile, size_t element) {
    return static_cast<uint32_t>(step * 7919 + tile * 104729 + static_cast<int64_t>(element) * 31 + 1);
  }

  Plan plan;

 private:
  static void feed_tile(Words& words, int64_t step, TileId tile) {
    for (size_t i = 0; i < words.size(); ++i) words[i] = fed(step, tile, i);
  }
  int add_tensor(TensorInfo::Kind kind, const std::string& name);
  void add_task(std::vector<Access> accesses);
  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }

  std::mt19937 random_;
};

inline int RandomPlan::add_tensor(TensorInfo::Kind kind, const std::string& name) {
  const int id = static_cast<int>(plan.program.tensors.size());
  const int cols[] = {1, 4, 5, 64};
  const int64_t width = cols[below(4)];
  plan.program.tensors.push_back(
      {.name = name, .type = {{{"rows", random_plan_rows}, width}, DType::i32}, .kind = kind});
  const Residence residence = kind == TensorInfo::Kind::input      ? Residence::input
                              : kind == TensorInfo::Kind::variable ? Residence::variable
                                                                   : Residence::intermediate;
  auto& grid = plan.grid.emplace_back();
  for (int row = 0; row < random_plan_rows; ++row) {
    grid.push_back(static_cast<TileId>(plan.tiles.size()));
    plan.tiles.push_back(
        {.tensor = id, .dtype = DType::i32, .rows = 1, .cols = width, .row0 = row, .residence = residence});
  }
  return id;
}

inline void RandomPlan::add_task(std::vector<Access> accesses) {
  const auto number = static_cast<int64_t>(plan.tasks.size());
  Stage stage;
  stage.kernel = below(2) ? &light_mix : &heavy_mix;
  stage.params = {number, accesses.back().mode == Mode::update, 0, 0};
  stage.accesses = std::move(accesses);
  stage.label = "task " + std::to_string(number);
  Task task;
  task.label = stage.label;
  task.priority = below(100);
  task.stages.push_back(std::move(stage));
  plan.tasks.push_back(std::move(task));
}

inline RandomPlan::RandomPlan(uint32_t seed, int n_tasks) : random_(seed) {
  plan.tiling = Tiling::parse("rows=1x" + std::to_string(random_plan_rows));
  std::vector<TileId> readable, changeable;
  auto add_readable = [&](int tensor) {
    for (TileId tile : plan.grid[static_cast<size_t>(tensor)]) readable.push_back(tile);
  };
  for (int k = 0; k < 2; ++k) add_readable(add_tensor(TensorInfo::Kind::input, "in" + std::to_string(k)));
  for (int k = 0; k < 2; ++k) {
    const int tensor =
        add_tensor(TensorInfo::Kind::variable, "var" + std::to_string(seed) + "." + std::to_string(k));
    add_readable(tensor);
    changeable = readable;
    changeable.erase(changeable.begin(), changeable.begin() + ptrdiff_t{2} * random_plan_rows);
  }
  std::vector<TileId> fresh;
  for (int t = 0; t < n_tasks; ++t) {
    std::vector<Access> accesses;
    for (int k = 1 + below(3); k > 0; --k) {  // recent tiles more often, so that chains arise
      const int from = below(3) ? std::max(0, static_cast<int>(readable.size()) - 6) : 0;
      accesses.push_back(
          read(readable[static_cast<size_t>(from + below(static_cast<int>(readable.size()) - from))]));
    }
    TileId out = -1;
    if (below(5) == 0) {
      out = changeable[static_cast<size_t>(below(static_cast<int>(changeable.size())))];
    } else {
      if (fresh.empty()) {
        fresh = plan.grid[static_cast<size_t>(add_tensor(TensorInfo::Kind::result, ""))];
        std::shuffle(fresh.begin(), fresh.end(), random_);
      }
      out = fresh.back();
    }
    std::erase_if(accesses, [&](const Access& access) { return access.tile == out; });
    const bool is_new = !fresh.empty() && out == fresh.back();
    accesses.push_back(is_new ? write(out) : update(out));
    add_task(std::move(accesses));
    if (!is_new) continue;
    fresh.pop_back();
    readable.push_back(out);
    changeable.push_back(out);
    if (fresh.empty() && below(4) == 0) {
      const int tensor = plan.tiles[static_cast<size_t>(out)].tensor;
      plan.program.fetches.push_back(tensor);
      plan.fetched.push_back(plan.grid[static_cast<size_t>(tensor)]);
      for (TileId tile : plan.fetched.back())
        plan.tiles[static_cast<size_t>(tile)].residence = Residence::fetch;
    }
  }
  for (TileId tile : fresh) add_task({read(readable.back()), write(tile)});
}

inline RandomPlan::Values RandomPlan::run_in_order(int steps) const {
  std::vector<Words> memory;
  for (size_t id = 0; id < plan.tiles.size(); ++id)
    memory.push_back(words_for(plan, static_cast<TileId>(id), 0));
  Values values;
  for (int step = 0; step < steps; ++step) {
    for (size_t id = 0; id < plan.tiles.size(); ++id) {
      if (plan.tiles[id].residence == Residence::input)
        feed_tile(memory[id], step, static_cast<TileId>(id));
      else if (plan.tiles[id].residence != Residence::variable)
        memory[id].assign(memory[id].size(), poisoned_word);
    }
    for (const Task& task : plan.tasks)
      for (const Stage& stage : task.stages)
        run_stage(plan, stage, [&](TileId tile) -> Words& { return memory[static_cast<size_t>(tile)]; });
    for (const auto& tiles : plan.fetched)
      for (TileId tile : tiles) values.push_back(memory[static_cast<size_t>(tile)]);
  }
  for (size_t id = 0; id < plan.tiles.size(); ++id)
    if (plan.tiles[id].residence == Residence::variable) values.push_back(memory[id]);
  return values;
}

inline RandomPlan::Values RandomPlan::run_overlapping(int steps, uint32_t seed) const {
  std::mt19937 random(seed);
  std::vector<Words> shared;
  for (const Buffer& buffer : plan.buffers)
    shared.emplace_back(static_cast<size_t>(buffer.bytes / 4),
                        buffer.residence == Residence::variable ? 0 : poisoned_word);
  std::map<std::pair<int, TileId>, Words> per_step;  // inputs and fetches
  std::vector<std::vector<int>> missing;
  std::vector<std::pair<int, int>> ready;
  for (int step = 0; step < steps; ++step) {
    for (size_t id = 0; id < plan.tiles.size(); ++id) {
      const auto tile = static_cast<TileId>(id);
      const Residence residence = plan.tiles[id].residence;
      if (residence != Residence::input && residence != Residence::fetch) continue;
      Words& words = per_step[{step, tile}] = words_for(plan, tile, poisoned_word);
      if (residence == Residence::input) feed_tile(words, step, tile);
    }
    missing.emplace_back();
    for (size_t t = 0; t < plan.tasks.size(); ++t) {
      missing.back().push_back(plan.tasks[t].n_before + (step > 0 ? plan.tasks[t].n_before_step : 0));
      if (missing.back().back() == 0) ready.emplace_back(step, static_cast<int>(t));
    }
  }
  while (!ready.empty()) {
    std::swap(ready[random() % ready.size()], ready.back());
    const auto [step, t] = ready.back();
    ready.pop_back();
    std::map<TileId, Words> scratch;
    const Task& task = plan.tasks[static_cast<size_t>(t)];
    for (const Stage& stage : task.stages)
      run_stage(plan, stage, [&, at = step](TileId id) -> Words& {
        const Tile& tile = plan.tiles[static_cast<size_t>(id)];
        if (tile.residence == Residence::scratch)
          return scratch.try_emplace(id, words_for(plan, id, poisoned_word)).first->second;
        if (auto own = per_step.find({at, id}); own != per_step.end()) return own->second;
        return shared[static_cast<size_t>(tile.buffer)];
      });
    auto release = [&](int at, int next) {
      if (at < steps && --missing[static_cast<size_t>(at)][static_cast<size_t>(next)] == 0)
        ready.emplace_back(at, next);
    };
    for (int next : task.next) release(step, next);
    for (int next : task.next_step) release(step + 1, next);
  }
  Values values;
  for (int step = 0; step < steps; ++step)
    for (const auto& tiles : plan.fetched)
      for (TileId tile : tiles) values.push_back(per_step.at({step, tile}));
  for (const Tile& tile : plan.tiles)
    if (tile.residence == Residence::variable) {
      values.push_back(shared[static_cast<size_t>(tile.buffer)]);
      values.back().resize(static_cast<size_t>(tile.rows * tile.cols));
    }
  return values;
}

inline std::vector<std::pair<int64_t, int64_t>> RandomPlan::dependencies() const {
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (const Task& task : plan.tasks)
    for (int next : task.next)
      pairs.emplace_back(task.stages[0].params[0], plan.tasks[static_cast<size_t>(next)].stages[0].params[0]);
  return pairs;
}

inline std::vector<int64_t> RandomPlan::places() const {
  std::vector<int64_t> places(n_stages());
  int64_t at = 0;
  for (const Task& task : plan.tasks)
    for (const Stage& stage : task.stages) places[static_cast<size_t>(stage.params[0])] = at++;
  return places;
}

inline size_t RandomPlan::n_stages() const {
  size_t count = 0;
  for (const Task& task : plan.tasks) count += task.stages.size();
  return count;
}

// How many tasks of 300 random plans a pass joins with others; their stages must keep an order that respects
// every dependency, and compute the same.
inline size_t tasks_joined_by(void (*pass)(Plan&)) {
  size_t joined = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    RandomPlan random(seed);
    const auto expected = random.run_in_order(3);
    link_tasks(random.plan);
    const std::vector<std::pair<int64_t, int64_t>> order = random.dependencies();
    const size_t before = random.plan.tasks.size();
    pass(random.plan);
    joined += before - random.plan.tasks.size();
    EXPECT_EQ(random.n_stages(), before);
    const std::vector<int64_t> place = random.places();
    for (auto [earlier, later] : order)
      EXPECT_LT(place[static_cast<size_t>(earlier)], place[static_cast<size_t>(later)]);
    EXPECT_EQ(random.run_in_order(3), expected);
    assign_buffers(random.plan);
    link_tasks(random.plan);
    EXPECT_EQ(random.run_overlapping(3, seed), expected);
  }
  return joined;
}

}  // namespace tessera::testing_ops
