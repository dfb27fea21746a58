// Lowering: how an op turns its use in a graph into tile tasks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <span>
#include <vector>

#include "runtime/plan/kernel.hpp"
#include "runtime/plan/plan.hpp"

namespace tessera {

// A tensor's tiles: (i, j) is the tile in row cut i and column cut j.
struct TileGrid {
  Cuts rows, cols;
  std::vector<TileId> tiles;

  TileId operator()(int i, int j = 0) const { return tiles[static_cast<size_t>(i * cols.count() + j)]; }
};

// What lowering appends to: tiles and tasks in program order.
class PlanBuilder {
 public:
  explicit PlanBuilder(Plan& plan, bool pack = false) : plan_(plan), pack_(pack) {}

  void lower_all();
  Plan& plan() { return plan_; }
  const TileGrid& grid_of(int tensor);

 private:
  friend class Lowering;
  void lower(const Node& node);
  void fetch(size_t k);
  TileId add_tile(Tile tile);

  Plan& plan_;
  bool pack_;
  std::vector<std::unique_ptr<TileGrid>> grids_;
};

struct TaskOptions {
  double flops = 0;                    // counted as multiplications and additions
  std::array<int, 2> index = {0, 0};   // [i,j] of the label
  std::array<int64_t, 4> params = {};  // handed to the kernel
};

class Lowering {
 public:
  Lowering(PlanBuilder& plan, const Node& node) : plan_(plan), node_(node) {}

  int n_inputs() const { return static_cast<int>(node_.in.size()); }
  int n_outputs() const { return static_cast<int>(node_.out.size()); }
  const TensorType& in_type(int k) const;
  const TensorType& out_type(int k) const;
  bool pack() const { return plan_.pack_; }  // as PlanOptions has it

  const TileLayout* layout(int k) const;  // of an input's tiles; null: row by row

  const TileGrid& in(int k) const;  // as the tiling cuts it
  const TileGrid& out(int k) const;
  // The same input cut otherwise: re-tile tasks are inserted where it is not already cut so.
  TileGrid in(int k, const Cuts& rows, const Cuts& cols);

  void task(const Kernel& kernel, std::vector<Access> accesses, TaskOptions options = {});

  // A tile that lives only between tasks of this op.
  TileId temporary(DType dtype, int64_t rows, int64_t cols, int64_t row0 = 0, int64_t col0 = 0);

  // Sums over the cuts of an axis into the tile `into` with the shape that the tiling says: for every cut
  // `add(cut, accumulator, first)` must emit a task that adds the cut's part to the accumulator, or
  // overwrites it when `first`; the accumulators of groups then meet in a binary tree. Partial sums are kept
  // in f32.
  void reduce(TileId into, const Cuts& over,
              const std::function<void(int cut, TileId accumulator, bool first)>& add);
  // The same for several sums that one task per cut adds to.
  void reduce(const std::vector<TileId>& into, const Cuts& over,
              const std::function<void(int cut, std::span<const TileId> accumulators, bool first)>& add);

  // For sums that the tiling does not order (parts of different tensors): a fixed binary tree over f32 tiles,
  // in place.
  TileId tree(std::vector<TileId> parts);

  const Tile& tile(TileId id) const;

 private:
  PlanBuilder& plan_;
  const Node& node_;
};

}  // namespace tessera
