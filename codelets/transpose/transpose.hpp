// Rows become columns.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y[c, r] = x[r, c]. x: [rows, cols] of any type; y: [cols, rows], whose axes are cut as those of x.
Tensor transpose(Tensor x);

}  // namespace tessera
