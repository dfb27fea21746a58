// Variables that are right factors for good, in the layout of the CPU's matmul library.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/op.hpp"

namespace tessera {

// Of tiles that hold op(B), or with `transposed` the other way round; null where products by them would not
// be faster with any number of rows, or where whole panels do not fit the tile.
const TileLayout* packed_layout(DType type, int64_t tile_rows, int64_t tile_cols, bool transposed);

}  // namespace tessera
