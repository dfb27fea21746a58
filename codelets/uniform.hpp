// The random numbers of a training step: which uniform an element of a tensor gets, whatever tile it lies in.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/core/philox.hpp"

namespace tessera {

// What the draws of one op in one step depend on: the two values of the `rng` tensor, the op's own stream.
struct Draws {
  uint32_t seed = 0, step = 0, stream = 0;

  constexpr PhiloxKey key() const { return {seed, step}; }
};

// In [0, 1), for element e = row · cols + col of the whole tensor: word e mod 4 of the Philox block of
// counter {low, high half of e / 4, stream, 0} and key {seed, step}. philox_simd.hpp draws the same.
constexpr float uniform(const Draws& draws, uint64_t e) {
  const uint64_t block = e / 4;
  const auto low = static_cast<uint32_t>(block), high = static_cast<uint32_t>(block >> 32);
  return unit_float(philox({low, high, draws.stream, 0}, draws.key())[e % 4]);
}

}  // namespace tessera
