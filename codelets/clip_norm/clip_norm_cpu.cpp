// clip_norm on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/clip_norm/clip_norm_cpu.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>

#include "codelets/clip_norm/control.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

void sum_squares(const TileArgs& args) {
  with_float(args[0].dtype, [&]<class T>(T) {
    *args[1].as<float>() =
        sum_of(args[0].size(), [](auto g) { return hn::Mul(g, g); }, args[0].as<const T>());
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(sum_squares);
void sum_squares_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(sum_squares)(args); }

// control, then the sums of squares of all tiles of all gradients, in the order of the graph: a binary tree
// over them
void clip_norm_cpu(const TileArgs& args) {
  const auto n = static_cast<int64_t>(args.count()) - 1;
  float* sums = scratch<float>(n);
  for (int64_t k = 0; k < n; ++k) sums[k] = *args[static_cast<size_t>(k) + 1].as<const float>();
  for (int64_t stride = 1; stride < n; stride *= 2)
    for (int64_t at = 0; at + stride < n; at += 2 * stride) sums[at] += sums[at + stride];

  const double max_norm = args.attributes<ClipNormOp>().options.max_norm;
  const float norm = std::sqrt(sums[0]);
  const bool finite = std::isfinite(norm);
  float* control = args[0].as<float>();
  control[0] = finite && max_norm > 0 ? static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6))) : 1;
  control[1] = finite ? 1 : 0;
  control[2] = norm;
}
}  // namespace tessera
#endif
