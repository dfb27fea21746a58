// The random numbers of a step: what an element of a tensor draws, whatever tile it lies in.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "runtime/core/philox.hpp"

namespace tessera {

// What the draws of one op in one step depend on: the two values of the `rng` tensor, the op's own stream.
struct Draws {
  uint32_t seed = 0, step = 0, stream = 0;

  constexpr PhiloxKey key() const { return {seed, step}; }
  constexpr PhiloxCounter block(uint64_t n) const {
    return philox({static_cast<uint32_t>(n), static_cast<uint32_t>(n >> 32), stream, 0}, key());
  }
};

// In [0, 1), for element e = row · cols + col of the whole tensor: word e mod 4 of the Philox block of
// counter {low, high half of e / 4, stream, 0} and key {seed, step}.
constexpr float uniform(const Draws& draws, uint64_t e) { return unit_float(draws.block(e / 4)[e % 4]); }

// 16 bits for element e, which is all that dropout needs: half e mod 8, the low one of each word first, of
// block e / 8. philox_simd.hpp draws the same.
constexpr uint16_t draw16(const Draws& draws, uint64_t e) {
  return static_cast<uint16_t>(draws.block(e / 8)[e / 2 % 4] >> 16 * (e % 2));
}

// Dropout with probability p, to the nearest 2^-16: an element whose draw is `least` or more is kept and
// multiplied by `factor`, which leaves the mean as it was.
struct DropoutRule {
  uint32_t least;
  float factor;

  constexpr explicit DropoutRule(float p)
      : least(std::min(static_cast<uint32_t>(p * 0x1p16f + 0.5f), 0xffffu)),
        factor(0x1p16f / static_cast<float>(0x10000 - least)) {}
  constexpr bool keeps(const Draws& draws, uint64_t e) const { return draw16(draws, e) >= least; }
};

}  // namespace tessera
