// What layer_norm and rms_norm share: their tasks take whole rows, and may write them cut in columns.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/elementwise.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

// Throws unless x is a float matrix and `parameter` an f32 vector as long as its rows.
inline void check_norm(std::string_view op, const TensorType& x, const TensorType& parameter) {
  check_float(op, x);
  if (x.shape.rank() != 2) throw error("{}: x {} is not a matrix", op, to_string(x.shape));
  if (parameter.dtype != DType::f32 || parameter.shape.rank() != 1 ||
      parameter.shape.size() != x.shape.cols())
    throw error("{}: the parameter {} {} is not f32 with one value per column of x {}", op,
                name_of(parameter.dtype), to_string(parameter.shape), to_string(x.shape));
}

inline void write_row(std::vector<Access>& accesses, const TileGrid& grid, int row) {
  for (int j = 0; j < grid.cols.count(); ++j) accesses.push_back(write(grid(row, j)));
}

// Inputs x, parameters…; outputs y, statistics. A task's tiles: the inputs', the statistics', those of y's
// row. params[0]: the number of inputs
inline void lower_norm(Lowering& to, const Kernel& kernel, double flops_per_element) {
  const TileGrid& y = to.out(0);
  const int64_t width = y.cols.total();
  const TileGrid x = to.in(0, y.rows, Cuts(width));
  std::vector<TileId> parameters;
  for (int k = 1; k < to.n_inputs(); ++k) parameters.push_back(to.in(k, Cuts(width), Cuts(1))(0));
  for (int i = 0; i < y.rows.count(); ++i) {
    std::vector<Access> accesses{read(x(i))};
    for (TileId parameter : parameters) accesses.push_back(read(parameter));
    accesses.push_back(write(to.out(1)(i)));
    write_row(accesses, y, i);
    to.task(kernel, std::move(accesses),
            {.flops = flops_per_element * static_cast<double>(y.rows.size(i) * width),
             .index = {i, 0},
             .params = {to.n_inputs()}});
  }
}

// Inputs x, scale, statistics, d_y; outputs d_x, the parameters' gradients. A task's tiles: the inputs', the
// gradients, those of d_x's row. params: whether the task begins the sums over rows, the number of gradients
inline void lower_norm_backward(Lowering& to, const Kernel& kernel, double flops_per_element) {
  const TileGrid& d_x = to.out(0);
  const int64_t width = d_x.cols.total();
  const TileGrid x = to.in(0, d_x.rows, Cuts(width)), d_y = to.in(3, d_x.rows, Cuts(width));
  const TileGrid statistics = to.in(2, d_x.rows, Cuts(to.in_type(2).shape.cols()));
  const TileId scale = to.in(1, Cuts(width), Cuts(1))(0);
  std::vector<TileId> gradients;
  for (int k = 1; k < to.n_outputs(); ++k) gradients.push_back(to.out(k)(0));
  to.reduce(gradients, d_x.rows, [&](int i, std::span<const TileId> sums, bool first) {
    std::vector<Access> accesses{read(x(i)), read(scale), read(statistics(i)), read(d_y(i))};
    for (TileId sum : sums) accesses.push_back(first ? write(sum) : update(sum));
    write_row(accesses, d_x, i);
    to.task(kernel, std::move(accesses),
            {.flops = flops_per_element * static_cast<double>(d_x.rows.size(i) * width),
             .index = {i, 0},
             .params = {first, to.n_outputs() - 1}});
  });
}

}  // namespace tessera
