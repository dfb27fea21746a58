// Dropout whose mask is drawn again wherever it is needed, and never stored.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

struct DropoutOptions {
  float p = 0.1f;       // the share of elements that are dropped, 0 ≤ p < 1
  uint32_t stream = 0;  // unlike for every use in a model, so that their masks are independent
};

// y = x / (1 - p) with probability 1 - p, else 0; p counts to the nearest 2^-16. See DropoutRule in
// codelets/uniform.hpp.
// x: floats of any shape; rng: i32 [2], {seed, step}. Result: like x; p = 0 returns x itself.
Tensor dropout(Tensor x, Tensor rng, const DropoutOptions& options);

// What the op "dropout" knows; its kernel reads it.
struct DropoutAttributes : Op {
  explicit DropoutAttributes(const DropoutOptions& o) : options(o) {}

  DropoutOptions options;
};

}  // namespace tessera
