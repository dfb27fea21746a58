// IEEE 754 half precision as a storage type.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

namespace tessera {

// Rounded to nearest even from f32; beyond 65,504 it is an infinity, below 2^-14 it loses bits step by step.
struct f16 {
  uint16_t bits = 0;

  f16() = default;
  explicit f16(float value) {
    uint32_t u = std::bit_cast<uint32_t>(value), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
      bits = static_cast<uint16_t>(sign | 0x7e00u);
    } else if (magnitude >= 0x47800000u) {
      bits = static_cast<uint16_t>(sign | 0x7c00u);
    } else if (magnitude >= 0x38800000u) {
      bits =
          static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
    } else {
      // Adding 0.5 leaves the subnormal's bits, rounded to nearest even by the hardware, at the low end.
      float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
    }
  }
  explicit operator float() const {
    uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    float value = magnitude < 0x400u ? static_cast<float>(magnitude) * 0x1p-24f
                                     : std::bit_cast<float>((magnitude << 13) + 0x38000000u);
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
  }
};
static_assert(sizeof(f16) == 2);

}  // namespace tessera
