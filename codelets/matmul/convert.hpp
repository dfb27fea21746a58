// Copies of strided matrices between storage types.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/core/dtype.hpp"

namespace tessera {

// to[r, c] = from[r, c] for r < rows, c < cols; leading dimensions in elements.
struct StridedCopy {
  const void* from;
  DType from_type;
  int64_t from_ld;
  void* to;
  DType to_type;
  int64_t to_ld, rows, cols;
};

void convert(const StridedCopy& copy);

}  // namespace tessera
