// Philox4x32-10 for the vector unit at hand: the draws of codelets/uniform.hpp for runs of elements.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstring>

#include "codelets/simd.hpp"
#include "codelets/uniform.hpp"

#if defined(TESSERA_CODELETS_PHILOX_SIMD) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_PHILOX_SIMD
#undef TESSERA_CODELETS_PHILOX_SIMD
#else
#define TESSERA_CODELETS_PHILOX_SIMD
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

HWY_INLINE void philox_blocks(const Draws& draws, uint64_t block, uint32_t* words) {
  const PhiloxCounter drawn = draws.block(block);
  std::copy(drawn.begin(), drawn.end(), words);
}

#else

using U32 = hn::RebindToUnsigned<F32>;
using VecU32 = hn::Vec<U32>;

// The low and high halves of x · m, lane by lane.
HWY_INLINE void multiply_wide(VecU32 x, uint32_t m, VecU32& low, VecU32& high) {
  const U32 d;
  const hn::RepartitionToWide<U32> wide;
  const auto by = hn::Set(d, m);
  const auto even = hn::MulEven(x, by);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, x))), by);
  low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
  high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
}

// words[4 i + w] = word w of block `block` + i, for i < lanes()
HWY_INLINE void philox_blocks(const Draws& draws, uint64_t block, uint32_t* words) {
  const U32 d;
  const auto low = static_cast<uint32_t>(block), high = static_cast<uint32_t>(block >> 32);
  VecU32 x0 = hn::Add(hn::Set(d, low), hn::Iota(d, 0));
  VecU32 x1 = hn::IfThenElse(hn::Lt(x0, hn::Set(d, low)), hn::Set(d, high + 1), hn::Set(d, high));
  VecU32 x2 = hn::Set(d, draws.stream), x3 = hn::Zero(d);
  PhiloxKey key = draws.key();
  for (int round = 0; round < 10; ++round) {
    VecU32 a_low, a_high, b_low, b_high;
    multiply_wide(x0, 0xD2511F53, a_low, a_high);
    multiply_wide(x2, 0xCD9E8D57, b_low, b_high);
    x0 = hn::Xor(hn::Xor(b_high, x1), hn::Set(d, key[0]));
    x1 = b_low;
    x2 = hn::Xor(hn::Xor(a_high, x3), hn::Set(d, key[1]));
    x3 = a_low;
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  hn::StoreInterleaved4(x0, x1, x2, x3, d, words);
}

#endif

// dst[i] = draw16(draws, first + i), i < n
HWY_INLINE void draws16(const Draws& draws, uint64_t first, int64_t n, uint16_t* dst) {
  static_assert(std::endian::native == std::endian::little);  // a word's low half comes first
  uint32_t words[4 * max_lanes];
  auto skip = static_cast<int64_t>(first % 8);
  for (uint64_t block = first / 8; n > 0; block += static_cast<uint64_t>(lanes())) {
    philox_blocks(draws, block, words);
    const int64_t some = std::min(n, 8 * lanes() - skip);
    std::memcpy(dst, reinterpret_cast<const uint16_t*>(words) + skip,
                static_cast<size_t>(some) * sizeof *dst);
    dst += some;
    n -= some;
    skip = 0;
  }
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
