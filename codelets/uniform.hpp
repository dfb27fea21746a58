// The random numbers of a training step: which uniform an element of a tensor gets, whatever tile it lies in.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/core/philox.hpp"

namespace tessera {

// What the draws of one op in one step depend on: the two values of the `rng` tensor, and the op's own
// stream.
struct Draws {
  uint32_t seed = 0, step = 0, stream = 0;

  constexpr PhiloxKey key() const { return {seed, step}; }
};

// Element e (row · cols + col in the whole tensor) takes word e mod 4 of the Philox block that is numbered e
// / 4:
//   counter {low and high half of e / 4, stream, 0}, key {seed, step}.
// philox_simd.hpp draws the same numbers for runs of elements; device kernels follow the same rule.
constexpr float uniform(const Draws& draws, uint64_t e) {
  const uint64_t block = e / 4;
  const PhiloxCounter counter{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), draws.stream,
                              0};
  return unit_float(philox(counter, draws.key())[e % 4]);
}

}  // namespace tessera
