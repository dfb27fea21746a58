// sum on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/sum/sum_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// sum[c] (+)= Σ_r x[r, c]; params[0]: overwrite
void sum_rows(const TileArgs& args) {
  const int64_t cols = args[0].cols;
  float* sum = args[1].as<float>();
  if (args.params[0]) map(cols, sum, [] { return set(0); });
  with_float(args[0].dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < args[0].rows; ++r)
      map(cols, sum, [](auto s, auto x) { return hn::Add(s, x); }, sum, args[0].as<const T>() + r * cols);
  });
}

// sum += part
void accumulate(const TileArgs& args) {
  float* sum = args[1].as<float>();
  map(args[1].size(), sum, [](auto s, auto x) { return hn::Add(s, x); }, sum, args[0].as<const float>());
}

void spread_rows(const TileArgs& args) {
  const int64_t cols = args[1].cols;
  with_float(args[0].dtype, [&]<class S>(S) {
    with_float(args[1].dtype, [&]<class T>(T) {
      for (int64_t r = 0; r < args[1].rows; ++r)
        map(cols, args[1].as<T>() + r * cols, [](auto x) { return x; }, args[0].as<const S>());
    });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(sum_rows);
HWY_EXPORT(accumulate);
HWY_EXPORT(spread_rows);
void sum_rows_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(sum_rows)(args); }
void accumulate_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(accumulate)(args); }
void spread_rows_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(spread_rows)(args); }
}  // namespace tessera
#endif
