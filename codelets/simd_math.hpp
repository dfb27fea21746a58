// Functions of CPU kernels beyond arithmetic, to f32 accuracy: exp, logistic, normal distribution.
// SPDX-License-Identifier: Apache-2.0
#include <hwy/contrib/math/math-inl.h>

#include "codelets/simd.hpp"
#include "codelets/simd_exp2.hpp"

#if defined(TESSERA_CODELETS_SIMD_MATH) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_SIMD_MATH
#undef TESSERA_CODELETS_SIMD_MATH
#else
#define TESSERA_CODELETS_SIMD_MATH
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// exp(x) to 1 ulp; an x above 88 counts as 88, so the result is finite.
HWY_INLINE Vec exp(Vec x) { return hn::Exp(F32(), hn::Min(set(88.0f), x)); }

// exp(x) to 1.5 ulp for -87 ≤ x ≤ 87, and as at the nearer end beyond: fewer steps than exp, where
// multiply-adds are fused and the first one below loses nothing.
HWY_INLINE Vec exp_clamped(Vec x) {
  if constexpr (!HWY_NATIVE_FMA) return exp(x);
  x = hn::Max(set(-87.0f), hn::Min(set(87.0f), x));
  const Vec high = set(1.44269502f), low = set(1.92596303e-08f);  // log2(e)
  const Vec rounded = hn::MulAdd(x, high, set(to_integer));
  const Vec part = hn::MulSub(x, high, hn::Sub(rounded, set(to_integer)));
  return exp2_of_parts(rounded, hn::MulAdd(x, low, part));
}

// 1 / (1 + exp(-x)) to 3 ulp
HWY_INLINE Vec sigmoid(Vec x) { return hn::Div(set(1.0f), hn::Add(set(1.0f), exp_clamped(hn::Neg(x)))); }

// Φ(x) and φ(x) of N(0, 1), so erf(x) = 2 Φ(√2 x) - 1. Relative errors stay below 5e-7, in the far tail too.
struct Normal {
  Vec cdf, pdf;
};

HWY_INLINE Normal normal(Vec x) {
  constexpr float far = 13.2f;  // beyond it Φ(-a) is no normal number
  const Vec a = hn::Min(set(far), hn::Abs(x)), square = hn::Mul(a, a);
  // What rounding took from the square; it matters where the exponential is small.
  const Vec lost = hn::MulSub(a, a, square);
  const Vec high = set(-0.721347511f), low = set(-9.6298149e-09f);  // -log2(e) / 2
  const Vec rounded = hn::MulAdd(square, high, set(to_integer));
  Vec part = hn::MulSub(square, high, hn::Sub(rounded, set(to_integer)));
  part = hn::MulAdd(lost, high, hn::MulAdd(square, low, part));
  const Vec gauss = hn::IfThenZeroElse(hn::Gt(hn::Abs(x), set(far)), exp2_of_parts(rounded, part));

  // exp(a² / 2) Φ(-a) = t P(t), t = 1 / (1 + 0.35 a): P is the minimax polynomial for 0 ≤ a ≤ 14.5, good to
  // 4e-8.
  const Vec t = hn::Div(set(1.0f), hn::MulAdd(set(0.35f), a, set(1.0f)));
  Vec p = set(-0.02915787324309349f);
  p = hn::MulAdd(p, t, set(0.1440308690071106f));
  p = hn::MulAdd(p, t, set(-0.25583893060684204f));
  p = hn::MulAdd(p, t, set(0.15931960940361023f));
  p = hn::MulAdd(p, t, set(-0.023212289437651634f));
  p = hn::MulAdd(p, t, set(0.10555247962474823f));
  p = hn::MulAdd(p, t, set(0.11982129514217377f));
  p = hn::MulAdd(p, t, set(0.1398635059595108f));
  p = hn::MulAdd(p, t, set(0.139621302485466f));
  const Vec tail = hn::Mul(hn::Mul(p, t), gauss);
  return {.cdf = hn::IfThenElse(hn::Lt(x, set(0.0f)), tail, hn::Sub(set(1.0f), tail)),
          .pdf = hn::Mul(set(0.3989422804f), gauss)};
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
