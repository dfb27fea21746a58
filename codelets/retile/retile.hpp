// The same values cut otherwise. Plans insert its kernel where two ops disagree about cuts.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y = x, with dimensions that run along other axes; sizes stay.
Tensor retile(Tensor x, const Shape& shape);

}  // namespace tessera
