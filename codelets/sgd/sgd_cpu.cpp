// sgd on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/sgd/sgd_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/optimizer_cpu.hpp"
#include "codelets/sgd/sgd_op.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

void sgd(const TileArgs& args) {
  const SgdOptions& o = args.attributes<SgdOp>().options;
  const Vec decay = set_double(o.weight_decay), momentum = set_double(o.momentum);
  if (o.momentum > 0) {
    update_parameters<1>(args, [&](double lr, double) {
      return [=, rate = set_double(lr), nesterov = o.nesterov](Vec p, Vec g, Vec& b) {
        g = hn::MulAdd(decay, p, g);
        b = hn::MulAdd(momentum, b, g);
        return hn::NegMulAdd(rate, nesterov ? hn::MulAdd(momentum, b, g) : b, p);
      };
    });
  } else {
    update_parameters<0>(args, [&](double lr, double) {
      return [=, rate = set_double(lr)](Vec p, Vec g) {
        return hn::NegMulAdd(rate, hn::MulAdd(decay, p, g), p);
      };
    });
  }
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(sgd);
void sgd_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(sgd)(args); }
}  // namespace tessera
#endif
