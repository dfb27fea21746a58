// rmsprop on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/rmsprop/rmsprop_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/optimizer_cpu.hpp"
#include "codelets/rmsprop/rmsprop_op.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

void rmsprop(const TileArgs& args) {
  const RmspropOptions& o = args.attributes<RmspropOp>().options;
  const Vec decay = set_double(o.weight_decay), old_s = set_double(o.alpha), new_s = set_double(1 - o.alpha);
  const Vec eps = set_double(o.eps), momentum = set_double(o.momentum);
  auto direction = [=](Vec p, Vec g, Vec& s) {
    g = hn::MulAdd(decay, p, g);
    s = hn::MulAdd(hn::Mul(new_s, g), g, hn::Mul(old_s, s));
    return hn::Div(g, hn::Add(hn::Sqrt(s), eps));
  };
  if (o.momentum > 0) {
    update_parameters<2>(args, [&](double lr, double) {
      return [=, rate = set_double(lr)](Vec p, Vec g, Vec& s, Vec& b) {
        b = hn::MulAdd(momentum, b, direction(p, g, s));
        return hn::NegMulAdd(rate, b, p);
      };
    });
  } else {
    update_parameters<1>(args, [&](double lr, double) {
      return [=, rate = set_double(lr)](Vec p, Vec g, Vec& s) {
        return hn::NegMulAdd(rate, direction(p, g, s), p);
      };
    });
  }
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(rmsprop);
void rmsprop_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(rmsprop)(args); }
}  // namespace tessera
#endif
