// gelu on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/gelu/gelu_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/gelu/gelu.hpp"
#include "codelets/simd_math.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// The tanh form by the logistic function: (1 + tanh(u)) / 2 = sigmoid(2 u), with 2 u = x (a + b x²).
constexpr float tanh_a = 1.5957691216f;  // 2 √(2/π)
constexpr float tanh_b = 0.0713548163f;  // 0.044715 a

HWY_INLINE Vec tanh_argument(Vec x) {
  return hn::Mul(x, hn::MulAdd(set(tanh_b), hn::Mul(x, x), set(tanh_a)));
}

HWY_INLINE Vec slope_exact(Vec x) {
  const Normal n = normal(x);
  return hn::MulAdd(x, n.pdf, n.cdf);
}

// s + x s (1 - s) (a + 3 b x²); beyond ±10 it is 0 or 1 in f32
HWY_INLINE Vec slope_tanh(Vec x) {
  x = hn::Max(set(-10.0f), hn::Min(set(10.0f), x));
  const Vec e = exp_clamped(hn::Neg(tanh_argument(x)));
  const Vec s = hn::Div(set(1.0f), hn::Add(set(1.0f), e));
  const Vec inner = hn::MulAdd(set(3 * tanh_b), hn::Mul(x, x), set(tanh_a));
  return hn::MulAdd(hn::Mul(x, s), hn::Mul(hn::Mul(e, s), inner), s);
}

// tiles: x, y
void gelu(const TileArgs& args) {
  const bool exact = args.attributes<GeluAttributes>().form == GeluForm::exact;
  const int64_t n = args[1].size();
  with_float(args[1].dtype, [&]<class T>(T) {
    const T* x = args[0].as<const T>();
    T* y = args[1].as<T>();
    if (exact) {
      const auto value = [](Vec v) { return hn::Mul(v, normal(v).cdf); };
      map(n, y, value, x);
    } else {
      const auto value = [](Vec v) { return hn::Mul(v, sigmoid(tanh_argument(v))); };
      map(n, y, value, x);
    }
  });
}

// tiles: x, d_y, d_x
void gelu_backward(const TileArgs& args) {
  const bool exact = args.attributes<GeluAttributes>().form == GeluForm::exact;
  const int64_t n = args[2].size();
  with_float(args[2].dtype, [&]<class T>(T) {
    const T *x = args[0].as<const T>(), *d_y = args[1].as<const T>();
    T* d_x = args[2].as<T>();
    if (exact) {
      const auto gradient = [](Vec v, Vec d) { return hn::Mul(d, slope_exact(v)); };
      map(n, d_x, gradient, x, d_y);
    } else {
      const auto gradient = [](Vec v, Vec d) { return hn::Mul(d, slope_tanh(v)); };
      map(n, d_x, gradient, x, d_y);
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(gelu);
HWY_EXPORT(gelu_backward);
void gelu_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(gelu)(args); }
void gelu_backward_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(gelu_backward)(args); }
}  // namespace tessera
#endif
