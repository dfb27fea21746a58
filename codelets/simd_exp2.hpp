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

// Adding it to a small number rounds that to an integer, in the lowest bits.
inline constexpr float to_integer = 0x1.8p23f;

// 2^(n + part) to 1.5 ulp for |part| ≤ 1/2 and an integer -126 ≤ n ≤ 126 that was rounded by adding
// to_integer.
HWY_INLINE Vec exp2_of_parts(Vec rounded, Vec part) {
  const hn::RebindToSigned<F32> d32;
  Vec y = set(0.0013264728f);
  y = hn::MulAdd(y, part, set(0.0096715139f));
  y = hn::MulAdd(y, part, set(0.0555073358f));
  y = hn::MulAdd(y, part, set(0.2402224243f));
  y = hn::MulAdd(y, part, set(0.6931470037f));
  y = hn::MulAdd(y, part, set(1.0f));
  return hn::BitCast(F32(), hn::Add(hn::BitCast(d32, y), hn::ShiftLeft<23>(hn::BitCast(d32, rounded))));
}

// 2^x for x ≤ 0 to 1.5 ulp, and 0 below 2^-100: nothing that follows meets a denormal. A NaN stays a NaN.
HWY_INLINE Vec exp2_negative(Vec x) {
  const Vec rounded = hn::Add(x, set(to_integer));
  const Vec y = exp2_of_parts(rounded, hn::Sub(x, hn::Sub(rounded, set(to_integer))));
  return hn::IfThenZeroElse(hn::Lt(x, set(-100.0f)), y);
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
