// Which part of the Philox counter space each source of random data draws from.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/core/philox.hpp"

namespace tessera {

enum class DataStream : uint32_t { windows = 0xDA7A0001, sums, held_out, evaluation };

inline PhiloxCounter draw(DataStream stream, int64_t sample, uint32_t attempt, PhiloxKey key) {
  uint64_t index = static_cast<uint64_t>(sample);
  return philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), attempt,
                 static_cast<uint32_t>(stream)},
                key);
}

}  // namespace tessera
