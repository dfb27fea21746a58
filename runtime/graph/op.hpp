// What an operation means: shapes, gradient, tiles, a naive reference and the cases it is tested on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/shape.hpp"
#include "runtime/core/tiling.hpp"

namespace tessera {

class Graph;
class Lowering;
struct Kernel;

// A cheap value that names a tensor of a graph; it never holds data. Default-constructed: no tensor.
struct Tensor {
  Graph* graph = nullptr;
  int id = -1;

  explicit operator bool() const { return graph != nullptr; }
  const Shape& shape() const;
  DType dtype() const;
  const TensorType& type() const;
  const std::string& name() const;
  bool operator==(const Tensor&) const = default;
};

// A whole tensor on the host in double precision, for references and gradients by finite differences.
struct HostArray {
  TensorType type;
  std::vector<double> values;  // row by row

  explicit HostArray(TensorType t) : type(std::move(t)), values(static_cast<size_t>(type.shape.size())) {}
  int64_t rows() const { return type.shape.rows(); }
  int64_t cols() const { return type.shape.cols(); }
  size_t size() const { return values.size(); }
  double& operator[](size_t i) { return values[i]; }
  double operator[](size_t i) const { return values[i]; }
  double& operator()(int64_t r, int64_t c) { return values[static_cast<size_t>(r * cols() + c)]; }
  double operator()(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * cols() + c)]; }
};
using HostIn = std::span<const HostArray>;
using HostOut = std::span<HostArray>;

// How the elements of a variable's tile lie, where not row by row; in as many bytes. `cols` elements make a
// row of the tile.
struct TileLayout {
  std::string_view name;
  void (*arrange)(DType type, int64_t rows, int64_t cols, const void* by_rows, void* tile);
  void (*restore)(DType type, int64_t rows, int64_t cols, const void* tile, void* by_rows);
};

// What Op::grad is given. d_out[k] is empty where the loss does not depend on output k.
struct GradArgs {
  std::span<const Tensor> in, out, d_out;
};

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view name() const = 0;

  // Types of the outputs; throws Error naming shapes that do not fit.
  virtual std::vector<TensorType> infer(std::span<const TensorType> in) const = 0;

  // Appends the backward ops; one gradient per input, empty where the input has none (indices, say).
  virtual std::vector<Tensor> grad(const GradArgs& args) const;  // by default throws: not differentiable

  // Emits the tile tasks.
  virtual void lower(Lowering& to) const = 0;

  // The definition, naively, in double precision.
  virtual void reference(HostIn in, HostOut out) const = 0;

  // The op that computes next(…, this(…), …) in one go, where output 0 of this op is input `position` of
  // `next` and nobody else reads it; null where there is none. Its inputs: those of this op, then the other
  // ones of `next`.
  virtual std::shared_ptr<const Op> fold(const Op& /*next*/, int /*position*/,
                                         std::span<const TensorType> /*next_inputs*/) const {
    return nullptr;
  }

  // How tiles of input k are read fastest, where it is a variable that no op changes; null: row by row, as
  // lower() has to expect them where Lowering::layout(k) says so.
  virtual const TileLayout* layout(int /*input*/, std::span<const TensorType> /*in*/, int64_t /*tile_rows*/,
                                   int64_t /*tile_cols*/) const {
    return nullptr;
  }

  // The input whose storage output `k` takes over and updates in place (optimizers, caches), or -1.
  virtual int alias(int /*output*/) const { return -1; }
};

// One way the conformance test runs an op.
struct Case {
  // How an input is filled before the run.
  struct Input {
    TensorType type;
    double low = -1, high = 1;        // uniform; integers of [low, high] for i32
    std::vector<double> values = {};  // given outright instead
    bool differentiate = true;        // check the gradient with respect to it
  };

  std::string name;  // what is special about it: "ragged", "packed segments", …
  std::shared_ptr<const Op> op;
  std::vector<Input> inputs;
  std::string tiling = {};  // as `run.tiling`; empty: nothing is cut
  int64_t sum_length = 1;   // k of the tolerance c · sqrt(k) · eps: the longest sum in an output element
  bool check_gradient = true;
};

// One row of the op table; every codelets/<op>/<op>.cpp defines `OpEntry <op>_entry()`.
struct OpEntry {
  std::string_view name;
  std::vector<const Kernel*> kernels;
  std::vector<Case> (*cases)(DType storage);  // empty for a storage type that the op has no use for
};

// All ops, in the order of codelets/CMakeLists.txt.
const std::vector<OpEntry>& op_table();

}  // namespace tessera
