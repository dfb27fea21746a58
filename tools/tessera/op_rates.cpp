// Walking through a plan and timing its kernels.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/op_rates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>

#include "runtime/core/machine.hpp"
#include "runtime/core/philox.hpp"
#include "runtime/exec/tile_copies.hpp"
#include "tools/tessera/plan_report.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

const Tile& tile_of(const Plan& plan, const Access& access) {
  return plan.tiles[static_cast<size_t>(access.tile)];
}

// The op whose folder holds the kernel.
std::string op_of(const Kernel& kernel) {
  for (const OpEntry& entry : op_table())
    for (const Kernel* one : entry.kernels)
      if (one == &kernel) return std::string(entry.name);
  return std::string(kernel.name);
}

std::string tiles_text(const Plan& plan, const Stage& stage) {
  std::string sides[2];
  for (const Access& access : stage.accesses) {
    const Tile& tile = tile_of(plan, access);
    std::string& side = sides[access.mode != Mode::read];
    side += fmt::format("{}{}{} {}x{}", side.empty() ? "" : ", ", access.mode == Mode::update ? "+" : "",
                        name_of(tile.dtype), tile.rows, tile.cols);
  }
  return sides[0] + " > " + sides[1];
}

std::string key_of(const OpRate& rate) { return fmt::format("{} {} {}", rate.op, rate.kernel, rate.tiles); }

// The same kernel on tiles of the same kinds, whatever their sizes.
std::string kind_of(const Plan& plan, const Stage& stage) {
  std::string kind(stage.kernel->name);
  if (stage.accesses.size() > 8) return kind;  // a sum over ever so many tiles
  for (const Access& access : stage.accesses)
    kind += fmt::format(" {}{}", name_of(tile_of(plan, access).dtype), static_cast<int>(access.mode));
  return kind;
}

OpRate describe(const Plan& plan, const Stage& stage) {
  OpRate rate;
  rate.op = op_of(*stage.kernel);
  rate.kernel = stage.kernel->name;
  rate.tiles = tiles_text(plan, stage);
  rate.dtype = product_dtype(plan, stage);
  rate.flops = stage.flops;
  for (const Access& access : stage.accesses) {
    const auto bytes = static_cast<double>(tile_of(plan, access).bytes());
    if (access.mode != Mode::write) rate.read_bytes += bytes;
    if (access.mode != Mode::read) rate.written_bytes += bytes;
  }
  return rate;
}

// Tables are used by rows: those of ids that lie in the tile, or of new keys and values.
void count_table_rows(OpRate& rate, const Stage& stage, std::span<const TileView> views) {
  auto row_bytes = [](const TileView& view) {
    return static_cast<double>(view.cols) * static_cast<double>(size_of(view.dtype));
  };
  if (rate.kernel == "kv_append") {
    rate.read_bytes = rate.written_bytes = 0;
    for (size_t k = 0; k < views.size(); ++k) {
      const double bytes = row_bytes(views[k]) * static_cast<double>(views[0].rows);
      (stage.accesses[k].mode == Mode::read ? rate.read_bytes : rate.written_bytes) += bytes;
    }
    return;
  }
  const bool backward = rate.kernel == "embedding_backward";
  if (rate.kernel != "embedding" && !backward) return;
  auto hits = [](const TileView& ids, const TileView& table) {
    return static_cast<double>(
        std::ranges::count_if(std::span(ids.as<int32_t>(), static_cast<size_t>(ids.size())),
                              [&](int32_t id) { return id >= table.row0 && id < table.row0 + table.rows; }));
  };
  size_t ids = views.size(), gradient = 0, written = 0;
  for (size_t k = 0; k < views.size(); ++k) {
    if (views[k].dtype == DType::i32)
      ids = std::min(ids, k);
    else
      (stage.accesses[k].mode == Mode::read ? gradient : written) = k;
  }
  rate.read_bytes = 0;
  double rows = 0;
  for (size_t k = 0; k < views.size(); ++k)
    if (views[k].dtype == DType::i32) {
      rate.read_bytes += static_cast<double>(views[k].size() * 4);
      if (backward) rows += hits(views[k], views[written]);
    } else if (!backward && k != written) {
      rate.read_bytes += hits(views[ids], views[k]) * row_bytes(views[k]);
    }
  rate.read_bytes += rows * row_bytes(views[gradient]);
  if (backward) rate.written_bytes = rows * row_bytes(views[written]);
}

void fill(const TensorInfo& info, void* data, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t word = philox(
        {static_cast<uint32_t>(i), static_cast<uint32_t>(info.init.std * 1e6f), 0, 0}, philox_key(1))[0];
    const double value = info.init.mean + 3.4 * info.init.std * (word * 0x1p-32 - 0.5);
    if (info.type.dtype == DType::f32)
      static_cast<float*>(data)[i] = static_cast<float>(value);
    else if (info.type.dtype == DType::bf16)
      static_cast<bf16*>(data)[i] = bf16(static_cast<float>(value));
  }
}

// A step on this thread, in the plan's order, every buffer with memory of its own.
class Walk {
 public:
  Walk(const Plan& plan, std::span<const Feed> feeds) : plan_(plan) {
    for (const Buffer& buffer : plan.buffers) memory_.emplace_back(static_cast<size_t>(buffer.bytes));
    for (size_t id = 0; id < plan.program.tensors.size(); ++id) {
      const TensorInfo& info = plan.program.tensors[id];
      if (info.kind != TensorInfo::Kind::variable) continue;
      TensorInfo start = info;
      if (info.shadow_of >= 0) start.init = plan.program.tensors[static_cast<size_t>(info.shadow_of)].init;
      for (TileId tile : plan.grid[id])
        fill(start, data_of(tile),
             plan.tiles[static_cast<size_t>(tile)].rows * plan.tiles[static_cast<size_t>(tile)].cols);
    }
    for (const Feed& feed : feeds) {
      const auto id = static_cast<size_t>(feed.tensor.id);
      if (plan.grid[id].empty()) continue;
      const size_t element = size_of(feed.tensor.dtype());
      const auto width = static_cast<size_t>(feed.tensor.type().shape.cols());
      for (TileId id_of_tile : plan.grid[id]) {
        const Tile& tile = plan.tiles[static_cast<size_t>(id_of_tile)];
        const size_t row_bytes = static_cast<size_t>(tile.cols) * element;
        for (int64_t r = 0; r < tile.rows; ++r)
          std::memcpy(
              static_cast<std::byte*>(data_of(id_of_tile)) + static_cast<size_t>(r) * row_bytes,
              static_cast<const std::byte*>(feed.data) +
                  (static_cast<size_t>(tile.row0 + r) * width + static_cast<size_t>(tile.col0)) * element,
              row_bytes);
      }
    }
  }

  void run(const std::function<void(const Stage&, std::vector<TileView>&)>& before) {
    for (const Task& task : plan_.tasks) {
      scratch_.clear();
      for (const Stage& stage : task.stages) {
        std::vector<TileView> views;
        for (const Access& access : stage.accesses) {
          const Tile& tile = tile_of(plan_, access);
          views.push_back({data_of(access.tile), tile.dtype, tile.rows, tile.cols, tile.row0, tile.col0});
        }
        before(stage, views);
        stage.kernel->cpu({views, stage.op.get(), stage.params});
        release_scratch();
      }
    }
  }

 private:
  void* data_of(TileId id) {
    const Tile& tile = plan_.tiles[static_cast<size_t>(id)];
    if (tile.residence != Residence::scratch) return memory_[static_cast<size_t>(tile.buffer)].data();
    auto [found, fresh] = scratch_.try_emplace(id);
    if (fresh) found->second = Memory(static_cast<size_t>(tile.bytes()));
    return found->second.data();
  }

  const Plan& plan_;
  std::vector<Memory> memory_;
  std::map<TileId, Memory> scratch_;
};

int64_t last_cache_bytes() {
  int64_t most = 1 << 20;
  for (const Machine::Cache& cache : Machine::here().caches) most = std::max(most, cache.bytes);
  return most;
}

// Copies of a call's tiles, four times as much memory as the last cache has; tiles that lie in one buffer
// still do.
struct Copies {
  Memory memory;
  std::vector<std::vector<TileView>> views;

  explicit Copies(const std::vector<TileView>& of) {
    constexpr int64_t most = 1 << 14, alignment = 256;
    std::map<const void*, std::pair<int64_t, size_t>> at;  // offset and size of each buffer
    int64_t bytes = 0;
    for (const TileView& view : of) {
      const size_t size = static_cast<size_t>(view.size()) * size_of(view.dtype);
      if (!at.try_emplace(view.data, bytes, size).second) continue;
      bytes += (static_cast<int64_t>(size) + alignment - 1) / alignment * alignment;
    }
    const int64_t count =
        std::clamp<int64_t>(4 * last_cache_bytes() / std::max<int64_t>(bytes, 1) + 1, 2, most);
    memory = Memory(static_cast<size_t>(bytes * count));
    for (int64_t c = 0; c < count; ++c) {
      std::byte* begin = memory.data() + c * bytes;
      for (const auto& [data, place] : at) std::memcpy(begin + place.first, data, place.second);
      for (TileView& view : views.emplace_back(of)) view.data = begin + at.at(view.data).first;
    }
  }
};

double median_seconds(const Stage& stage, const std::vector<TileView>& views, double seconds) {
  const Copies copies(views);
  std::vector<double> seen;
  size_t next = 0;
  auto call = [&] {
    const auto from = Clock::now();
    stage.kernel->cpu({copies.views[next], stage.op.get(), stage.params});
    release_scratch();
    next = (next + 1) % copies.views.size();
    return seconds_since(from);
  };
  call();  // compiles what is compiled once
  for (const auto start = Clock::now(); seen.size() < 5 || seconds_since(start) < seconds;)
    seen.push_back(call());
  return median(std::move(seen));
}

}  // namespace

double CoreBounds::seconds(DType dtype, double flops, double read_bytes, double written_bytes) const {
  return std::max({flops / (matmul.of(dtype) * 1e9), read_bytes / read,
                   (read_bytes + written_bytes) / std::max(read, update)});
}

CoreBounds measure_core_bounds(double seconds) {
  std::vector<MatmulRate> rates;
  for (DType dtype : {DType::f32, DType::bf16})
    for (int64_t n : {128, 256, 384, 512}) rates.push_back(measure_matmul(dtype, n, 1, seconds));
  return {.matmul = ceiling_of(rates),
          .read = measure_read_bandwidth(1, seconds),
          .update = measure_update_bandwidth(1, seconds)};
}

void measure_op_rates(const Plan& plan, std::span<const Feed> feeds, const CoreBounds& bounds,
                      std::set<std::string>& known, const OpRatesOptions& options) {
  const auto bound_of = [&](const OpRate& rate) {
    return bounds.seconds(rate.dtype, rate.flops, rate.read_bytes, rate.written_bytes);
  };
  std::map<std::string, OpRate> largest;
  for (const Task& task : plan.tasks)
    for (const Stage& stage : task.stages) {
      OpRate rate = describe(plan, stage);
      if (!options.ops.empty() && !options.ops.contains(rate.op)) continue;
      OpRate& most = largest[options.all ? key_of(rate) : kind_of(plan, stage)];
      if (bound_of(rate) > bound_of(most)) most = std::move(rate);
    }
  std::set<std::string> wanted;
  for (const auto& [kind, rate] : largest)
    if (options.all ? known.insert(key_of(rate)).second : known.insert(kind).second)
      wanted.insert(key_of(rate));
  if (wanted.empty()) return;
  Walk(plan, feeds).run([&](const Stage& stage, std::vector<TileView>& views) {
    OpRate rate = describe(plan, stage);
    if (wanted.erase(key_of(rate)) == 0) return;
    count_table_rows(rate, stage, views);
    rate.seconds = median_seconds(stage, views, options.seconds);
    rate.flops_s = bounds.seconds(rate.dtype, rate.flops, 0, 0);
    rate.bytes_s = bounds.seconds(rate.dtype, 0, rate.read_bytes, rate.written_bytes);
    options.found(rate);
  });
}

}  // namespace tessera
