// Tile functions: what runs in a task, per backend.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/core/dtype.hpp"
#include "runtime/graph/op.hpp"

namespace tessera {

// One contiguous block [rows, cols] of a tensor, whose first element is [row0, col0] of the whole.
struct TileView {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 1, cols = 1, row0 = 0, col0 = 0;

  int64_t size() const { return rows * cols; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// What a kernel is called with: its tiles in the order of the task's accesses, and the op whose attributes it
// needs.
struct TileArgs {
  std::span<const TileView> tiles;
  const Op* op = nullptr;
  std::array<int64_t, 4> params = {};  // what else the lowering wants to say, such as "first of a sum"

  size_t count() const { return tiles.size(); }
  const TileView& operator[](size_t i) const { return tiles[i]; }
  template <class O>
  const O& attributes() const {
    return static_cast<const O&>(*op);
  }
};

class DeviceQueue;

// A named tile function, with an implementation per kind of device; where there is none, a task runs on the
// CPU. It may throw; the executor catches it at the task's boundary.
struct Kernel {
  std::string_view name;
  void (*cpu)(const TileArgs&) = nullptr;
  void (*gpu)(const TileArgs&,
              DeviceQueue&) = nullptr;  // launches for OpenCL and CUDA alike; tiles lie there
  bool light = false;  // memory-bound and element- or row-wise: worth fusing with its neighbours
};

// Memory for the running kernel, aligned to 64 bytes, gone when it returns. Kept by the worker's thread.
void* scratch_bytes(size_t bytes);
template <class T>
T* scratch(int64_t count) {
  return static_cast<T*>(scratch_bytes(static_cast<size_t>(count) * sizeof(T)));
}
void release_scratch();  // called by the executor after every kernel

// Gives back what was taken while it lives, for functions that kernels call many times.
class ScratchScope {
 public:
  ScratchScope();
  ~ScratchScope();
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;

 private:
  size_t chunk_, used_;
};

// A kernel of the op table by name; Lowering uses it for sums, casts and re-tiles.
const Kernel& kernel_named(std::string_view name);

}  // namespace tessera
