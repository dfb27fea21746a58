// Powers of two that are at most 1, as softmaxes need them: fewer steps than a general exp.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/simd.hpp"

#if defined(TESSERA_CODELETS_SIMD_EXP2) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_SIMD_EXP2
#undef TESSERA_CODELETS_SIMD_EXP2
#else
#define TESSERA_CODELETS_SIMD_EXP2
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

inline constexpr float log2_e = 1.44269504f;

// 2^x for x ≤ 0 to 1.5 ulp, and 0 below 2^-100: nothing that follows meets a denormal. A NaN stays a NaN.
HWY_INLINE Vec exp2_negative(Vec x) {
  const hn::RebindToSigned<F32> d32;
  const Vec magic = set(0x1.8p23f);  // adding it rounds x to an integer in the lowest bits
  const Vec rounded = hn::Add(x, magic);
  const Vec part = hn::Sub(x, hn::Sub(rounded, magic));
  Vec y = set(0.0013264728f);
  y = hn::MulAdd(y, part, set(0.0096715139f));
  y = hn::MulAdd(y, part, set(0.0555073358f));
  y = hn::MulAdd(y, part, set(0.2402224243f));
  y = hn::MulAdd(y, part, set(0.6931470037f));
  y = hn::MulAdd(y, part, set(1.0f));
  const auto bits = hn::Add(hn::BitCast(d32, y), hn::ShiftLeft<23>(hn::BitCast(d32, rounded)));
  return hn::IfThenZeroElse(hn::Lt(x, set(-100.0f)), hn::BitCast(F32(), bits));
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
