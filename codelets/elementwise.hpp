// What element-wise ops share: every tile of the output is computed from the same tile of the inputs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

// Throws unless x is stored as a float.
inline void check_float(std::string_view op, const TensorType& x) {
  if (!is_float(x.dtype)) throw error("{}: {} {} holds no floats", op, name_of(x.dtype), to_string(x.shape));
}

// Throws unless both are floats of one shape and storage type.
inline void check_alike(std::string_view op, const TensorType& a, const TensorType& b) {
  check_float(op, a);
  if (!a.shape.same_sizes(b.shape) || a.dtype != b.dtype)
    throw error("{}: {} {} and {} {} differ in shape or type", op, name_of(a.dtype), to_string(a.shape),
                name_of(b.dtype), to_string(b.shape));
}

// One task per tile of the outputs, with the inputs' tiles before the outputs'; params[0]: columns of the
// whole tensor. An input of another shape or of integers (a factor, the state of a generator) is read whole.
inline void lower_elementwise(Lowering& to, const Kernel& kernel, double flops_per_element) {
  const TileGrid& y = to.out(0);
  const Shape& shape = to.out_type(0).shape;
  std::vector<TileGrid> in;
  for (int k = 0; k < to.n_inputs(); ++k) {
    const TensorType& x = to.in_type(k);
    const bool alike = x.shape.same_sizes(shape) && is_float(x.dtype);
    in.push_back(alike ? to.in(k, y.rows, y.cols) : to.in(k, Cuts(x.shape.rows()), Cuts(x.shape.cols())));
  }
  for (int i = 0; i < y.rows.count(); ++i)
    for (int j = 0; j < y.cols.count(); ++j) {
      std::vector<Access> accesses;
      accesses.reserve(in.size() + static_cast<size_t>(to.n_outputs()));
      for (const TileGrid& x : in) accesses.push_back(read(x.tiles.size() == 1 ? x(0) : x(i, j)));
      for (int k = 0; k < to.n_outputs(); ++k) accesses.push_back(write(to.out(k)(i, j)));
      const double elements = static_cast<double>(y.rows.size(i) * y.cols.size(j));
      to.task(kernel, std::move(accesses),
              {.flops = flops_per_element * elements, .index = {i, j}, .params = {shape.cols()}});
    }
}

}  // namespace tessera
