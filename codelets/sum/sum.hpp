// Sums over rows, such as the gradient of a bias.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y[c] = Σ_r x[r, c], in f32. x: [rows, cols]; y: [cols].
Tensor sum_rows(Tensor x);

}  // namespace tessera
