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

// 2^x for x ≤ 0 to 1.5 ulp, and 0 below 2^-100: nothing that follows meets a denormal.
HWY_INLINE Vec exp2_negative(Vec x) {
  const hn::RebindToSigned<F32> d32;
  const Vec whole = hn::Round(hn::Max(x, set(-101.0f)));
  const Vec part = hn::Sub(x, whole);
  Vec y = set(0.0013264728f);
  y = hn::MulAdd(y, part, set(0.0096715139f));
  y = hn::MulAdd(y, part, set(0.0555073358f));
  y = hn::MulAdd(y, part, set(0.2402224243f));
  y = hn::MulAdd(y, part, set(0.6931470037f));
  y = hn::MulAdd(y, part, set(1.0f));
  const auto bits = hn::Add(hn::BitCast(d32, y), hn::ShiftLeft<23>(hn::ConvertTo(d32, whole)));
  return hn::IfThenElseZero(hn::Gt(x, set(-100.0f)), hn::BitCast(F32(), bits));
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
