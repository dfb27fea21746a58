// rms_norm on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/rms_norm/rms_norm_cpu.cpp"
#include <hwy/foreach_target.h>

#include <cmath>

#include "codelets/rms_norm/rms_norm.hpp"
#include "codelets/row_norm_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// Tiles: x, gamma, statistics, the tiles of y's row.
void rms_norm(const TileArgs& args) {
  const TileView& x = args[0];
  const float* gamma = args[1].as<const float>();
  float* statistics = args[2].as<float>();
  const float eps = args.attributes<RmsNormAttributes>().eps;
  with_float(x.dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < x.rows; ++r) {
      const T* row = x.as<const T>() + r * x.cols;
      const float square =
          sum_of(x.cols, [](Vec v) { return hn::Mul(v, v); }, row) / static_cast<float>(x.cols);
      statistics[r] = 1 / std::sqrt(square + eps);
      const Vec factor = set(statistics[r]);
      for (const TileView& y : args.tiles.subspan(3))
        map(
            y.cols, y.as<T>() + r * y.cols, [&](Vec v, Vec g) { return hn::Mul(hn::Mul(v, factor), g); },
            row + y.col0, gamma + y.col0);
    }
  });
}

void rms_norm_backward(const TileArgs& args) { norm_backward<false>(args); }

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(rms_norm);
HWY_EXPORT(rms_norm_backward);
void rms_norm_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(rms_norm)(args); }
void rms_norm_backward_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(rms_norm_backward)(args); }
}  // namespace tessera
#endif
