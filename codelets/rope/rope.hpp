// Rotary positions: queries and keys are turned by angles that grow with the position (Su et al., RoFormer,
// 2021).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

struct RopeOptions {
  // Which elements of a head are turned together: (i, i + head_dim / 2), or (2 i, 2 i + 1).
  enum class Pairs : uint8_t { halves, adjacent };

  int64_t heads = 1, kv_heads = 0, head_dim = 64;  // kv_heads 0: as many as heads
  double theta = 10000;                            // pair i turns by position · theta^(-2 i / head_dim)
  Pairs pairs = Pairs::halves;
};

// qkv in attention's fused layout, positions i32 [rows]. Result: like qkv, with values as they are.
Tensor rope(Tensor qkv, Tensor positions, const RopeOptions& options);

}  // namespace tessera
