// y = a + b, element by element; a vector b is added to every row.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// a: [rows, cols]; b: the same, or [cols] (a bias). Result: like a.
Tensor add(Tensor a, Tensor b);

}  // namespace tessera
