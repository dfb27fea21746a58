// Storage types of tensors. Sums and transcendental functions are always computed in f32 or wider.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tessera {

enum class DType : uint8_t { f32, bf16, f16, i32 };

constexpr size_t size_of(DType type) { return type == DType::f32 || type == DType::i32 ? 4 : 2; }
constexpr bool is_float(DType type) { return type != DType::i32; }
std::string_view name_of(DType type);
DType dtype_named(std::string_view name);  // throws Error on an unknown name

// Half the gap between 1 and the next value: the largest relative error of one rounding.
constexpr double epsilon_of(DType type) {
  return type == DType::bf16 ? 0x1p-8 : type == DType::f16 ? 0x1p-11 : type == DType::f32 ? 0x1p-24 : 0;
}

// The upper half of an f32, rounded to nearest even.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  explicit bf16(float value) {
    uint32_t u = std::bit_cast<uint32_t>(value);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((u >> 16) | 0x40);  // keep a NaN a NaN
    } else {
      bits = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
};
static_assert(sizeof(bf16) == 2);

}  // namespace tessera
