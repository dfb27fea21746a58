// scale on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/scale/scale_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/scale/scale.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

HWY_INLINE void multiply(const TileView& src, float factor, const TileView& dst) {
  const Vec by = set(factor);
  with_float(dst.dtype, [&]<class T>(T) {
    map(dst.size(), dst.as<T>(), [&](Vec x) { return hn::Mul(x, by); }, src.as<const T>());
  });
}

// tiles: x, y
void scale(const TileArgs& args) { multiply(args[0], args.attributes<ScaleAttributes>().factor, args[1]); }

// tiles: x, s, y
void scale_by(const TileArgs& args) { multiply(args[0], *args[1].as<const float>(), args[2]); }

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(scale);
HWY_EXPORT(scale_by);
void scale_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(scale)(args); }
void scale_by_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(scale_by)(args); }
}  // namespace tessera
#endif
