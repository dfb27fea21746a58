// Shapes: checks and printing.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/shape.hpp"

#include "runtime/core/error.hpp"

namespace tessera {

Shape::Shape(std::initializer_list<Dim> dims) : dims_(dims) {
  if (dims_.size() > 2) throw error("a tensor has at most two dimensions, not {}", dims_.size());
  for (const Dim& dim : dims_) {
    if (dim.size < 1) throw error("a dimension of size {} is not positive", dim.size);
    if (dim.unit < 1 || dim.size % dim.unit != 0)
      throw error("axis '{}': size {} is not a multiple of its unit {}", dim.axis, dim.size, dim.unit);
  }
  constexpr int64_t most = int64_t{1} << 48;  // elements; so that no count of bytes overflows
  if (int64_t size = 0; __builtin_mul_overflow(rows(), cols(), &size) || size > most)
    throw error("a tensor of shape {} is too large", to_string(*this));
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) {
    if (i) text += ", ";
    if (!shape[i].axis.empty()) text += shape[i].axis + " ";
    text += std::to_string(shape[i].size);
  }
  return text + "]";
}

}  // namespace tessera
