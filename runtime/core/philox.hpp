// Counter-based random numbers, Philox4x32-10: a draw depends on its counter and key and on nothing else.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace tessera {

// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (2011).
using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

constexpr PhiloxCounter philox(PhiloxCounter x, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t{0xD2511F53} * x[0], b = uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return x;
}

constexpr PhiloxKey philox_key(uint64_t seed) {
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
}

// Uniform in [0, 1), a multiple of 2^-24.
constexpr float unit_float(uint32_t draw) { return static_cast<float>(draw >> 8) * 0x1p-24f; }

// Uniform in [0, n), n > 0, from 64 random bits; its bias is below n / 2^64.
constexpr uint64_t draw_below(uint64_t n, uint32_t low, uint32_t high) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>((uint64_t{high} << 32) | low) * n) >> 64);
}

}  // namespace tessera
