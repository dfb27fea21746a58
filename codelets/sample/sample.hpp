// The next token of every row: the likeliest, or one drawn from the softmax of its logits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// logits: [rows, vocab]; rng: i32 [2] = {seed, step}; params: f32 [3] = {temperature, top_k, top_p}. Result:
// i32 [rows]. temperature 0: the first of the largest logits. Otherwise the top_k largest (all where top_k <
// 1; the earlier of equal ones first) of logits / temperature are kept, of those the fewest whose share
// reaches top_p, and one is drawn.
Tensor sample(Tensor logits, Tensor rng, Tensor params, uint32_t stream = 0);

}  // namespace tessera
