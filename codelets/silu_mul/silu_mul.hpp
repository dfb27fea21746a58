// y = silu(gate) · up: the gated half of LLaMA's feed-forward.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y = gate / (1 + exp(-gate)) · up, element by element. gate, up: floats of one shape. Result: like gate.
Tensor silu_mul(Tensor gate, Tensor up);

}  // namespace tessera
