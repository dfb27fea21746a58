// Variables: creation, initial values, host access and shadows.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/session.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <set>

#include "runtime/core/error.hpp"
#include "runtime/core/f16.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/philox.hpp"
#include "runtime/exec/executor.hpp"
#include "runtime/exec/tile_copies.hpp"
#include "runtime/plan/memory.hpp"

namespace tessera {
namespace {

constexpr size_t tile_alignment = 4096;

TileGrid grid_of(const Cuts& rows, const Cuts& cols) { return {rows, cols, {}}; }

// Calls visit(tile, for_each_row), which calls row(offset in the tile, offset in the whole, bytes).
template <class Visit>
void for_each_tile(const TileGrid& grid, size_t element, Visit visit) {
  const int64_t width = grid.cols.total();
  size_t tile = 0;
  for (int i = 0; i < grid.rows.count(); ++i)
    for (int j = 0; j < grid.cols.count(); ++j, ++tile)
      visit(tile, [&](auto row) {
        for (int64_t r = 0; r < grid.rows.size(i); ++r) {
          const size_t whole =
              static_cast<size_t>((grid.rows.begin(i) + r) * width + grid.cols.begin(j)) * element;
          const size_t bytes = static_cast<size_t>(grid.cols.size(j)) * element;
          row(static_cast<size_t>(r) * bytes, whole, bytes);
        }
      });
}

struct Extent {
  int64_t rows, cols;

  Extent(const TileGrid& grid, size_t tile)
      : rows(grid.rows.size(static_cast<int>(tile) / grid.cols.count())),
        cols(grid.cols.size(static_cast<int>(tile) % grid.cols.count())) {}
  size_t bytes(DType type) const { return static_cast<size_t>(rows * cols) * size_of(type); }
};

// Keeps a buffer on the host for as long as it lives.
class OnHost {
 public:
  OnHost(Engine& engine, BufferId buffer, Mode mode) : engine_(engine), buffer_(buffer) {
    engine.acquire(buffer, mode);
  }
  ~OnHost() { engine_.release(buffer_); }
  OnHost(const OnHost&) = delete;
  OnHost& operator=(const OnHost&) = delete;

 private:
  Engine& engine_;
  BufferId buffer_;
};

}  // namespace

void scatter(const TileGrid& grid, size_t element, const void* whole, std::span<std::byte* const> tiles) {
  for_each_tile(grid, element, [&](size_t tile, auto for_each_row) {
    for_each_row([&](size_t at, size_t from, size_t bytes) {
      std::memcpy(tiles[tile] + at, static_cast<const std::byte*>(whole) + from, bytes);
    });
  });
}

void scatter(const TileGrid& grid, DType type, const void* whole, Engine& engine,
             std::span<const HostTile> tiles, const TileLayout* layout) {
  std::vector<std::byte> by_rows;
  for_each_tile(grid, size_of(type), [&](size_t tile, auto for_each_row) {
    const OnHost held(engine, tiles[tile].buffer, Mode::write);
    const Extent extent(grid, tile);
    by_rows.resize(layout ? extent.bytes(type) : 0);
    std::byte* const to = layout ? by_rows.data() : tiles[tile].data;
    for_each_row([&](size_t at, size_t from, size_t bytes) {
      std::memcpy(to + at, static_cast<const std::byte*>(whole) + from, bytes);
    });
    if (layout) layout->arrange(type, extent.rows, extent.cols, to, tiles[tile].data);
  });
}

void gather(const TileGrid& grid, DType type, Engine& engine, std::span<const HostTile> tiles, void* whole,
            const TileLayout* layout) {
  std::vector<std::byte> by_rows;
  for_each_tile(grid, size_of(type), [&](size_t tile, auto for_each_row) {
    const OnHost held(engine, tiles[tile].buffer, Mode::read);
    const Extent extent(grid, tile);
    by_rows.resize(layout ? extent.bytes(type) : 0);
    if (layout) layout->restore(type, extent.rows, extent.cols, tiles[tile].data, by_rows.data());
    const std::byte* const from = layout ? by_rows.data() : tiles[tile].data;
    for_each_row([&](size_t at, size_t to, size_t bytes) {
      std::memcpy(static_cast<std::byte*>(whole) + to, from + at, bytes);
    });
  });
}

Session::Session(const EngineOptions& options, uint64_t seed) : Session(make_engine(options), seed) {}

Session::Session(std::unique_ptr<Engine> engine, uint64_t seed)
    : engine_(std::move(engine)), seed_(seed), room_(available_memory_bytes()) {}

Session::~Session() {
  for (auto& [name, variable] : variables_)
    for (const HostTile& tile : variable.tiles) engine_->remove_buffer(tile.buffer);
}

Session::Variable& Session::variable(const std::string& name) {
  auto found = variables_.find(name);
  if (found == variables_.end()) throw error("the session has no variable '{}'", name);
  return found->second;
}

const TensorType& Session::type(const std::string& name) const {
  return const_cast<Session*>(this)->variable(name).type;
}

std::vector<std::string> Session::names() const {
  std::vector<std::string> names;
  for (const auto& [name, variable] : variables_)
    if (variable.shadow_of.empty()) names.push_back(name);
  return names;
}

void Session::drain() {
  if (active_) active_->wait();
}

void Session::activate(Executor* executor) {
  if (active_ == executor) return;
  drain();
  active_ = executor;
}

void Session::deactivate(Executor* executor) {
  if (active_ == executor) active_ = nullptr;
}

void Session::mark_stale(const std::string& changed, std::span<const std::string> except) {
  for (auto& [name, variable] : variables_)
    if (variable.shadow_of == changed && std::find(except.begin(), except.end(), name) == except.end())
      variable.stale = true;
}

int64_t Session::book(const Plan& plan) {
  MemoryNeed need = memory_need(plan);
  for (size_t id = 0; id < plan.program.tensors.size(); ++id) {
    const TensorInfo& info = plan.program.tensors[id];
    if (info.kind == TensorInfo::Kind::variable && !plan.grid[id].empty() && has(info.name))
      need.variables -= info.type.bytes();
  }
  if (!engine_->expect(plan, need)) check_memory(need, room_);
  const int64_t bytes = need.total() - need.variables;
  room_ -= bytes;
  return bytes;
}

// All checks come first, so that a plan that does not fit leaves nothing behind.
void Session::bind(const Plan& plan) {
  auto for_each_variable = [&](auto f) {
    for (size_t id = 0; id < plan.program.tensors.size(); ++id) {
      const TensorInfo& info = plan.program.tensors[id];
      if (info.kind != TensorInfo::Kind::variable || plan.grid[id].empty()) continue;
      const Shape& shape = info.type.shape;
      f(info, shape.rank() > 0 ? plan.tiling.cuts(shape[0]) : Cuts(1),
        shape.rank() > 1 ? plan.tiling.cuts(shape[1]) : Cuts(1), plan.layout_of(id));
    }
  };
  for_each_variable([&](const TensorInfo& info, const Cuts& rows, const Cuts& cols,
                        const TileLayout* layout) { check(info, rows, cols, layout); });
  std::vector<const TensorInfo*> fresh;
  const auto make = [&](const TensorInfo& info, const Cuts& rows, const Cuts& cols,
                        const TileLayout* layout) {
    if (create(info, rows, cols, layout)) fresh.push_back(&info);
  };
  for_each_variable(
      [&](const TensorInfo& info, const Cuts& rows, const Cuts& cols, const TileLayout* layout) {
        if (info.shadow_of >= 0)
          make(plan.program.tensors[static_cast<size_t>(info.shadow_of)], rows, cols, nullptr);
        make(info, rows, cols, layout);
        if (info.shadow_of < 0) return;
        Variable& shadow = variables_[info.name];
        if (shadow.shadow_of.empty()) shadow.stale = true;
        shadow.shadow_of = plan.program.tensors[static_cast<size_t>(info.shadow_of)].name;
      });
  try {
    allocate(plan);
  } catch (...) {
    for (const TensorInfo* info : fresh) variables_.erase(info->name);
    throw;
  }
  for (const TensorInfo* info : fresh) initialise(*info);
}

void Session::check(const TensorInfo& info, const Cuts& rows, const Cuts& cols,
                    const TileLayout* layout) const {
  auto known = variables_.find(info.name);
  if (known == variables_.end()) return;
  const Variable& variable = known->second;
  if (!variable.type.shape.same_sizes(info.type.shape) || variable.type.dtype != info.type.dtype)
    throw error("variable '{}' is {} of {} in this session, the plan wants {} of {}", info.name,
                to_string(variable.type.shape), name_of(variable.type.dtype), to_string(info.type.shape),
                name_of(info.type.dtype));
  if (variable.rows != rows || variable.cols != cols)
    throw error(
        "variable '{}' is cut {} by {} in this session, the plan cuts it {} by {}; give both one tiling",
        info.name, variable.rows.to_string(), variable.cols.to_string(), rows.to_string(), cols.to_string());
  const auto name = [](const TileLayout* what) { return what ? what->name : "rows"; };
  if (variable.layout != layout)
    throw error("variable '{}' lies as {} in this session, the plan wants it as {}; make both plans alike",
                info.name, name(variable.layout), name(layout));
}

bool Session::create(const TensorInfo& info, const Cuts& rows, const Cuts& cols, const TileLayout* layout) {
  auto [at, fresh] = variables_.try_emplace(info.name);
  if (!fresh) return false;
  Variable& variable = at->second;
  variable.type = info.type;
  variable.rows = rows;
  variable.cols = cols;
  variable.layout = layout;
  variable.tiles.resize(static_cast<size_t>(rows.count() * cols.count()));
  return true;
}

size_t Session::Variable::bytes(size_t tile) const {
  const size_t full = Extent(grid_of(rows, cols), tile).bytes(type.dtype);
  return (full + tile_alignment - 1) / tile_alignment * tile_alignment;
}

// Tiles lie in the order in which the plan's tasks first use them: what is fetched ahead at the end of one is
// then the beginning of the next. The others follow.
void Session::allocate(const Plan& plan) {
  using VariableTile = std::pair<Variable*, size_t>;
  std::vector<VariableTile> of_plan(plan.tiles.size()), order;
  for (size_t id = 0; id < plan.program.tensors.size(); ++id)
    if (plan.program.tensors[id].kind == TensorInfo::Kind::variable)
      for (size_t k = 0; k < plan.grid[id].size(); ++k)
        of_plan[static_cast<size_t>(plan.grid[id][k])] = {&variable(plan.program.tensors[id].name), k};
  std::set<VariableTile> known;
  const auto add = [&](const VariableTile& tile) {
    if (tile.first && tile.first->tiles[tile.second].buffer < 0 && known.insert(tile).second)
      order.push_back(tile);
  };
  for (const Task& task : plan.tasks)
    for (const Stage& stage : task.stages)
      for (const Access& access : stage.accesses) add(of_plan[static_cast<size_t>(access.tile)]);
  for (auto& [name, variable] : variables_)
    for (size_t k = 0; k < variable.tiles.size(); ++k) add({&variable, k});

  size_t bytes = 0;
  for (const auto& [variable, tile] : order) bytes += variable->bytes(tile);
  if (bytes == 0) return;
  std::byte* data = memory_.emplace_back(bytes).data();
  room_ -= static_cast<int64_t>(bytes);
  for (const auto& [variable, tile] : order) {
    const size_t size = variable->bytes(tile);
    variable->tiles[tile] = {engine_->add_buffer(data, size), data};
    data += size;
  }
}

void Session::initialise(const TensorInfo& info) {
  if (info.shadow_of >= 0 || (info.init.std == 0 && info.init.mean == 0)) return;
  std::vector<float> values(static_cast<size_t>(info.type.shape.size()), info.init.mean);
  if (info.init.std >
      0) {  // Box-Muller on the counter (element / 2), keyed by the seed and the variable's name
    uint32_t key = 2166136261u;  // FNV-1a
    for (char c : info.name) key = (key ^ static_cast<unsigned char>(c)) * 16777619u;
    for (size_t e = 0; e < values.size(); e += 2) {
      const auto word = philox({static_cast<uint32_t>(e / 2), static_cast<uint32_t>((e / 2) >> 32), key, 0},
                               philox_key(seed_));
      const double u = (word[0] + 1.0) * 0x1p-32, angle = 2 * std::numbers::pi * word[1] * 0x1p-32;
      const double radius = std::sqrt(-2 * std::log(u)) * info.init.std;
      values[e] += static_cast<float>(radius * std::cos(angle));
      if (e + 1 < values.size()) values[e + 1] += static_cast<float>(radius * std::sin(angle));
    }
  }
  set(info.name, values);
}

void Session::read(const std::string& name, void* values) {
  Variable& v = variable(name);
  drain();
  gather(grid_of(v.rows, v.cols), v.type.dtype, *engine_, v.tiles, values, v.layout);
}

void Session::write(const std::string& name, const void* values) {
  Variable& v = variable(name);
  drain();
  scatter(grid_of(v.rows, v.cols), v.type.dtype, values, *engine_, v.tiles, v.layout);
  mark_stale(name);
}

std::vector<float> Session::get(const std::string& name) {
  const TensorType& t = type(name);
  std::vector<float> values(static_cast<size_t>(t.shape.size()));
  const auto widened = [&]<class T>(std::vector<T> stored) {
    read(name, stored.data());
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(stored[i]);
  };
  if (t.dtype == DType::f32) {
    read(name, values.data());
  } else if (t.dtype == DType::bf16) {
    widened(std::vector<bf16>(values.size()));
  } else if (t.dtype == DType::f16) {
    widened(std::vector<f16>(values.size()));
  } else {
    throw error("variable '{}' holds {}; read() takes it as it is", name, name_of(t.dtype));
  }
  return values;
}

void Session::set(const std::string& name, std::span<const float> values) {
  const TensorType& t = type(name);
  if (static_cast<int64_t>(values.size()) != t.shape.size())
    throw error("variable '{}' is {}, {} values do not fill it", name, to_string(t.shape), values.size());
  if (t.dtype == DType::f32) return write(name, values.data());
  if (t.dtype == DType::bf16) return write(name, std::vector<bf16>(values.begin(), values.end()).data());
  if (t.dtype == DType::f16) return write(name, std::vector<f16>(values.begin(), values.end()).data());
  throw error("variable '{}' holds {}; write() takes it as it is", name, name_of(t.dtype));
}

void Session::refresh(const std::string& shadow) {
  Variable& v = variable(shadow);
  if (!v.stale) return;
  set(shadow, get(v.shadow_of));
  v.stale = false;
}

}  // namespace tessera
