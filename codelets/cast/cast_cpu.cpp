// cast on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cast/cast_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

void cast(const TileArgs& args) {
  with_float(args[0].dtype, [&]<class S>(S) {
    with_float(args[1].dtype, [&]<class T>(T) {
      map(args[1].size(), args[1].as<T>(), [](auto x) { return x; }, args[0].as<const S>());
    });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(cast);
void cast_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(cast)(args); }
}  // namespace tessera
#endif
