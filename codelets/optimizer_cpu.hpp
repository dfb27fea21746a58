// The pass that CPU kernels of optimizers make over a tile: every byte is read once and written once.
// SPDX-License-Identifier: Apache-2.0
//
// Included once per target by hwy/foreach_target.h, as codelets/simd.hpp is.
#include "codelets/optimizer_op.hpp"
#include "codelets/simd.hpp"

#if defined(TESSERA_CODELETS_OPTIMIZER) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_OPTIMIZER
#undef TESSERA_CODELETS_OPTIMIZER
#else
#define TESSERA_CODELETS_OPTIMIZER
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// Accesses: param, grad, `n_state` state tiles, lr, step, control, perhaps the shadow. `make(lr, step)`
// returns f(param, grad, state&…) -> param, on vectors. Tails run through the same vectors, so bits do not
// depend on the cuts.
template <size_t n_state, class Make>
HWY_INLINE void update_parameters(const TileArgs& args, Make make) {
  static_assert(n_state <= 2);
  const float* control = args[n_state + 4].as<const float>();
  if (control[1] == 0) return;
  const auto f = make(static_cast<double>(*args[n_state + 2].as<const float>()),
                      static_cast<double>(*args[n_state + 3].as<const int32_t>()));
  const Vec scale = set(control[0]);
  float* param = args[0].as<float>();
  const float* grad = args[1].as<const float>();
  float* state0 = n_state > 0 ? args[2].as<float>() : nullptr;
  float* state1 = n_state > 1 ? args[3].as<float>() : nullptr;

  auto run = [&](auto* shadow) {
    auto step_at = [&](int64_t i, auto get, auto put) {
      Vec p = get(param + i);
      const Vec g = hn::Mul(get(grad + i), scale);
      if constexpr (n_state == 0) {
        p = f(p, g);
      } else if constexpr (n_state == 1) {
        Vec a = get(state0 + i);
        p = f(p, g, a);
        put(a, state0 + i);
      } else {
        Vec a = get(state0 + i), b = get(state1 + i);
        p = f(p, g, a, b);
        put(a, state0 + i);
        put(b, state1 + i);
      }
      put(p, param + i);
      if (shadow) put(p, shadow + i);
    };
    const int64_t n = args[0].size(), width = lanes();
    int64_t i = 0;
    for (; i + width <= n; i += width)
      step_at(i, [](auto* src) { return load(src); }, [](Vec v, auto* dst) { store(v, dst); });
    if (i < n)
      step_at(
          i, [&](auto* src) { return load_some(src, n - i); },
          [&](Vec v, auto* dst) { store_some(v, dst, n - i); });
  };
  if (args.count() == n_state + 5) return run(static_cast<float*>(nullptr));
  with_float(args[n_state + 5].dtype, [&]<class T>(T) { run(args[n_state + 5].as<T>()); });
}

HWY_INLINE Vec set_double(double x) { return set(static_cast<float>(x)); }

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
