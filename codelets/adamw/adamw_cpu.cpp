// adamw and adam on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/adamw/adamw_cpu.cpp"
#include <hwy/foreach_target.h>

#include <cmath>

#include "codelets/adamw/adam_op.hpp"
#include "codelets/optimizer_cpu.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

void adam_step(const TileArgs& args) {
  const auto& op = args.attributes<AdamOp>();
  const AdamwOptions& o = op.options;
  update_parameters<2>(args, [&](double lr, double step) {
    const Vec shrink = set_double(op.decoupled ? 1 - lr * o.weight_decay : 1);
    const Vec decay = set_double(op.decoupled ? 0 : o.weight_decay);
    const Vec new_m = set_double(1 - o.beta1), old_v = set_double(o.beta2), new_v = set_double(1 - o.beta2);
    const Vec rate = set_double(lr / (1 - std::pow(o.beta1, step)));
    const Vec correct = set_double(1 / std::sqrt(1 - std::pow(o.beta2, step))), eps = set_double(o.eps);
    return [=](Vec p, Vec g, Vec& m, Vec& v) {
      g = hn::MulAdd(decay, p, g);
      m = hn::MulAdd(new_m, hn::Sub(g, m), m);
      v = hn::MulAdd(hn::Mul(new_v, g), g, hn::Mul(old_v, v));
      const Vec root = hn::MulAdd(hn::Sqrt(v), correct, eps);
      return hn::NegMulAdd(rate, hn::Div(m, root), hn::Mul(p, shrink));
    };
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(adam_step);
void adam_step_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(adam_step)(args); }
}  // namespace tessera
#endif
