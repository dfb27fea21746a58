// Shapes with named axes: a matrix, a vector or a scalar whose dimensions know where they may be cut.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "runtime/core/dtype.hpp"

namespace tessera {

// One dimension. `axis` names what it runs over ("rows", "heads", "ffn", "vocab", …): a tiling cuts axes, so
// all tensors along one axis are cut alike. Cuts fall on multiples of `unit` elements; an empty axis is never
// cut.
struct Dim {
  int64_t size = 1;
  std::string axis;
  int64_t unit = 1;

  // NOLINTNEXTLINE(google-explicit-constructor): {rows, 512} should read as a shape
  Dim(int64_t size_) : size(size_) {}
  Dim(std::string axis_, int64_t size_, int64_t unit_ = 1)
      : size(size_), axis(std::move(axis_)), unit(unit_) {}
  int64_t units() const { return size / unit; }
  bool operator==(const Dim&) const = default;
};

// At most two dimensions: [rows, cols], [rows] or a scalar. Activations are [batch × seq, width].
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims);  // NOLINT(google-explicit-constructor)

  int rank() const { return static_cast<int>(dims_.size()); }
  const Dim& operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t rows() const { return dims_.empty() ? 1 : dims_[0].size; }
  int64_t cols() const { return dims_.size() < 2 ? 1 : dims_[1].size; }
  int64_t size() const { return rows() * cols(); }

  bool operator==(const Shape&) const = default;  // sizes and axes
  bool same_sizes(const Shape& other) const {
    return rank() == other.rank() && rows() == other.rows() && cols() == other.cols();
  }

 private:
  std::vector<Dim> dims_;
};

std::string to_string(const Shape& shape);  // "[rows 2048, 512]"

struct TensorType {
  Shape shape;
  DType dtype = DType::f32;

  int64_t bytes() const { return shape.size() * static_cast<int64_t>(size_of(dtype)); }
  bool operator==(const TensorType&) const = default;
};

}  // namespace tessera
