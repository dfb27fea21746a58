// dropout on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/dropout/dropout_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/dropout/dropout.hpp"
#include "codelets/philox_simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// One run of elements, of which `first` is the number of the first in the whole tensor.
template <class T>
HWY_INLINE void drop(const Draws& draws, uint64_t first, int64_t n, const DropoutRule& rule, const T* x,
                     T* y) {
  constexpr int64_t chunk = 512;  // draws that stay in the first-level cache
  uint16_t drawn[chunk];
  const Vec least = set(static_cast<float>(rule.least)), factor = set(rule.factor);
  for (int64_t i = 0; i < n; i += chunk) {
    const int64_t some = n - i < chunk ? n - i : chunk;
    draws16(draws, first + static_cast<uint64_t>(i), some, drawn);
    map(
        some, y + i, [&](Vec v, Vec d) { return hn::IfThenElseZero(hn::Ge(d, least), hn::Mul(v, factor)); },
        x + i, static_cast<const uint16_t*>(drawn));
  }
}

// tiles: x, rng, y; params[0]: columns of the whole tensor
void dropout(const TileArgs& args) {
  const TileView& y = args[2];
  const DropoutOptions& options = args.attributes<DropoutAttributes>().options;
  const DropoutRule rule(options.p);
  const auto* rng = args[1].as<const uint32_t>();
  const Draws draws{.seed = rng[0], .step = rng[1], .stream = options.stream};
  const int64_t cols = args.params[0];
  const bool whole_rows = y.cols == cols;  // then the tile is one run
  const int64_t runs = whole_rows ? 1 : y.rows, length = whole_rows ? y.size() : y.cols;
  with_float(y.dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < runs; ++r) {
      const auto first = static_cast<uint64_t>((y.row0 + r) * cols + y.col0);
      drop(draws, first, length, rule, args[0].as<const T>() + r * length, y.as<T>() + r * length);
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(dropout);
void dropout_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(dropout)(args); }
}  // namespace tessera
#endif
