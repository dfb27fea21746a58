// o = softmax(q kᵀ / √head_dim) v over packed sequences, in blocks (Dao et al., FlashAttention, 2022).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

struct AttentionOptions {
  int64_t heads = 1, kv_heads = 0, head_dim = 64;  // kv_heads 0: as many as heads
  bool causal = true;
  int64_t seq = 1;      // the longest sequence, in rows
  bool aligned = true;  // sequences begin at multiples of seq and do not cross one
  float dropout = 0;    // of the probabilities
  uint32_t stream = 0;  // of random numbers
};

// qkv: [rows, kv_heads · (heads / kv_heads + 2) · head_dim], per key/value head its query heads, its key, its
// value. starts: i32 [rows], the first row of the row's sequence, or -1 for padding (o is 0 there). The rows
// of a sequence are consecutive. rng: i32 [2] = {seed, step}; may be empty without dropout. Result: [rows,
// heads · head_dim].
Tensor attention(Tensor qkv, Tensor starts, Tensor rng, const AttentionOptions& options);

}  // namespace tessera
