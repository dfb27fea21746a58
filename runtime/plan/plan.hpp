// Plans: the lowered graph of one step as tile tasks; immutable, replayable, the same on every run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/tiling.hpp"
#include "runtime/graph/graph.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {

using TileId = int;

enum class Mode : uint8_t { read, write, update };  // StarPU's R, W and RW

struct Access {
  TileId tile = -1;
  Mode mode = Mode::read;
};
inline Access read(TileId tile) { return {tile, Mode::read}; }
inline Access write(TileId tile) { return {tile, Mode::write}; }  // what it held before is not needed
inline Access update(TileId tile) { return {tile, Mode::update}; }

// Where a tile's bytes live. Inputs and fetches have one copy per step in flight, so that the host never
// waits to write one; intermediates share buffers by lifetime; variables belong to the session.
enum class Residence : uint8_t { intermediate, scratch, input, fetch, variable };

struct Tile {
  int tensor = -1;  // -1: a temporary of a lowering
  DType dtype = DType::f32;
  int64_t rows = 1, cols = 1, row0 = 0, col0 = 0;
  Residence residence = Residence::intermediate;
  int buffer = -1;

  int64_t bytes() const { return rows * cols * static_cast<int64_t>(size_of(dtype)); }
};

struct Buffer {
  int64_t bytes = 0;
  Residence residence = Residence::intermediate;
  TileId tile = -1;  // the tile it holds, unless intermediate
};

// One kernel call. A task runs its stages in order; fused tasks have several.
struct Stage {
  const Kernel* kernel = nullptr;  // null: completed from outside (a message arrived, say)
  std::shared_ptr<const Op> op;
  std::vector<Access> accesses;
  std::array<int64_t, 4> params = {};
  double flops = 0;
  std::string label;
};

struct Task {
  std::vector<Stage> stages;
  std::string label;           // "block3/attention[2,0] backward"
  std::vector<int> next;       // tasks of this step that wait for it
  std::vector<int> next_step;  // tasks of the next step that wait for it
  int n_before = 0, n_before_step = 0;
  int priority = 0;  // larger is more urgent: the longest path to the end of the next step, scaled
  int micro_batch = 0;
  int node = 0;
  double flops = 0;
  int64_t bytes = 0;

  bool external() const { return stages.size() == 1 && stages[0].kernel == nullptr; }
};

// The op uses of a graph, on which graph passes work. Tensors are known by their ids.
struct Program {
  const Graph* graph = nullptr;  // only to tell its tensors from others'
  std::vector<TensorInfo> tensors;
  std::vector<Node> nodes;
  std::vector<int> fetches;

  Program() = default;
  explicit Program(const Graph& graph);
};

enum class Recompute : uint8_t { none, attention, block };

// Which node a tile belongs to; a pure function. One node: always 0.
using Placement = std::function<int(const Tile&)>;

// What a joined task may have of work: so many flops, or so many bytes, or parts of both.
struct RunLimit {
  double flops = 0, bytes = 0;
  explicit operator bool() const { return flops > 0 && bytes > 0; }
};

struct PlanOptions {
  Tiling tiling = {};
  Recompute recompute = Recompute::none;
  int micro_batches = 1;  // row tiles are worked through in this many parts, one after the other
  bool fold = true, fuse = true;
  bool pack = false;  // right factors in the layout of the CPU's matmul library, which devices cannot read
  bool lay_out =
      false;  // variables that are only read lie as their readers want them, for good: on CPUs alone
  bool join_chains =
      false;           // also of tasks that are not light: for plans of tasks that barely outlast their start
  RunLimit runs = {};  // for one worker: tasks that follow each other are one, up to this limit
  Placement placement = {};
};

struct Plan {
  Tiling tiling;
  Program program;  // after the graph passes
  std::vector<Tile> tiles;
  std::vector<Task> tasks;  // in an order that respects every dependency
  std::vector<Buffer> buffers;
  std::vector<std::vector<TileId>> grid;     // tiles of each tensor, row by row
  std::vector<const TileLayout*> layouts;    // of each tensor's tiles; empty: all are row by row
  std::vector<std::vector<TileId>> fetched;  // tiles of each fetch
  std::vector<std::string> notes;            // re-tiles and other costs worth telling
  bool for_one_device = false;               // made for a device that other workers are of no help to

  const TileLayout* layout_of(size_t tensor) const { return layouts.empty() ? nullptr : layouts[tensor]; }
  int64_t intermediate_bytes() const;
  int64_t variable_bytes() const;
  int64_t transfer_bytes() const;  // inputs and fetches, for all steps in flight
};

inline constexpr int steps_in_flight = 2;
inline constexpr int step_sets = 3;  // task counters and inputs are kept for one step more than are in flight

// A hash of the tasks: plans that have the same one run the same kernels on tiles of the same sizes.
std::string fingerprint(const Plan& plan);

Plan make_plan(const Graph& graph, const PlanOptions& options);

}  // namespace tessera
