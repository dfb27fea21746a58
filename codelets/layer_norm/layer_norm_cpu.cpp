// layer_norm on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/layer_norm/layer_norm_cpu.cpp"
#include <hwy/foreach_target.h>

#include <cmath>

#include "codelets/layer_norm/layer_norm.hpp"
#include "codelets/row_norm_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// Tiles: x, gamma, beta if params[0] = 3, statistics, the tiles of y's row.
void layer_norm(const TileArgs& args) {
  const TileView& x = args[0];
  const auto n_inputs = static_cast<size_t>(args.params[0]);
  const float* gamma = args[1].as<const float>();
  const float* beta = n_inputs == 3 ? args[2].as<const float>() : nullptr;
  float* statistics = args[n_inputs].as<float>();
  const float eps = args.attributes<LayerNormAttributes>().eps;
  const auto width = static_cast<float>(x.cols);
  with_float(x.dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < x.rows; ++r) {
      const T* row = x.as<const T>() + r * x.cols;
      const float mean = sum_of(x.cols, [](Vec v) { return v; }, row) / width;
      const Vec centre = set(mean);
      const auto square = [&](Vec v) { return hn::Mul(hn::Sub(v, centre), hn::Sub(v, centre)); };
      const float rstd = 1 / std::sqrt(sum_of(x.cols, square, row) / width + eps);
      const Vec factor = set(rstd);
      for (const TileView& y : args.tiles.subspan(n_inputs + 1)) {
        const auto normalise = [&](Vec v, Vec g) { return hn::Mul(hn::Mul(hn::Sub(v, centre), factor), g); };
        const auto and_shift = [&](Vec v, Vec g, Vec b) {
          return hn::MulAdd(hn::Mul(hn::Sub(v, centre), factor), g, b);
        };
        T* dst = y.as<T>() + r * y.cols;
        if (beta) {
          map(y.cols, dst, and_shift, row + y.col0, gamma + y.col0, beta + y.col0);
        } else {
          map(y.cols, dst, normalise, row + y.col0, gamma + y.col0);
        }
      }
      statistics[2 * r] = mean;
      statistics[2 * r + 1] = rstd;
    }
  });
}

void layer_norm_backward(const TileArgs& args) { norm_backward<true>(args); }

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(layer_norm);
HWY_EXPORT(layer_norm_backward);
void layer_norm_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(layer_norm)(args); }
void layer_norm_backward_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(layer_norm_backward)(args); }
}  // namespace tessera
#endif
