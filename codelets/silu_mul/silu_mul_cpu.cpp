// silu_mul on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/silu_mul/silu_mul_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/simd_math.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// tiles: gate, up, y
void silu_mul(const TileArgs& args) {
  with_float(args[2].dtype, [&]<class T>(T) {
    map(
        args[2].size(), args[2].as<T>(),
        [](Vec gate, Vec up) { return hn::Mul(hn::Mul(gate, sigmoid(gate)), up); }, args[0].as<const T>(),
        args[1].as<const T>());
  });
}

// tiles: gate, up, d_y, d_gate, d_up
void silu_mul_backward(const TileArgs& args) {
  const int64_t n = args[3].size();
  with_float(args[3].dtype, [&]<class T>(T) {
    const T *gate = args[0].as<const T>(), *up = args[1].as<const T>(), *d_y = args[2].as<const T>();
    T *d_gate = args[3].as<T>(), *d_up = args[4].as<T>();
    each_vector(n, [&](int64_t i, auto part) {
      const Vec g = load(gate + i, part), d = load(d_y + i, part);
      const Vec e = exp_clamped(hn::Neg(g));
      const Vec s = hn::Div(set(1.0f), hn::Add(set(1.0f), e));  // sigmoid(g); 1 - s = e s
      const Vec silu = hn::Mul(g, s);
      const Vec slope = hn::MulAdd(hn::Mul(silu, e), s, s);
      store(hn::Mul(hn::Mul(d, load(up + i, part)), slope), d_gate + i, part);
      store(hn::Mul(d, silu), d_up + i, part);
    });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(silu_mul);
HWY_EXPORT(silu_mul_backward);
void silu_mul_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(silu_mul)(args); }
void silu_mul_backward_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(silu_mul_backward)(args); }
}  // namespace tessera
#endif
