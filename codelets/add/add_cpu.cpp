// add on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/add/add_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

void add(const TileArgs& args) {
  with_float(args[2].dtype, [&]<class T>(T) {
    map(
        args[2].size(), args[2].as<T>(), [](auto a, auto b) { return hn::Add(a, b); }, args[0].as<const T>(),
        args[1].as<const T>());
  });
}

// The row vector may be kept in f32 beside bf16 activations.
void add_row(const TileArgs& args) {
  const int64_t cols = args[2].cols;
  with_float(args[2].dtype, [&]<class T>(T) {
    with_float(args[1].dtype, [&]<class B>(B) {
      for (int64_t r = 0; r < args[2].rows; ++r)
        map(
            cols, args[2].as<T>() + r * cols, [](auto a, auto b) { return hn::Add(a, b); },
            args[0].as<const T>() + r * cols, args[1].as<const B>());
    });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(add);
HWY_EXPORT(add_row);
void add_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(add)(args); }
void add_row_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(add_row)(args); }
}  // namespace tessera
#endif
