// Casts between storage types, rounding to nearest even.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y = x in another storage type.
Tensor cast(Tensor x, DType to);

}  // namespace tessera
