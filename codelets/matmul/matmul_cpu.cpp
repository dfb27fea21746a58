// matmul on the CPU: one gemm per task, and copies between storage types.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/matmul/matmul_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/matmul/convert.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

void convert_strided(const StridedCopy& s) {
  with_float(s.from_type, [&]<class S>(S) {
    with_float(s.to_type, [&]<class T>(T) {
      for (int64_t r = 0; r < s.rows; ++r)
        map(
            s.cols, static_cast<T*>(s.to) + r * s.to_ld, [](auto x) { return x; },
            static_cast<const S*>(s.from) + r * s.from_ld);
    });
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "codelets/matmul/gemm.hpp"

namespace tessera {
HWY_EXPORT(convert_strided);

void convert(const StridedCopy& copy) { HWY_DYNAMIC_DISPATCH(convert_strided)(copy); }

// params: overwrite, bias, residual, transposes (1: A, 2: B)
void matmul_cpu(const TileArgs& args) {
  const TileView &a = args[0], &b = args[1], &c = args[args.count() - 1];
  const bool first = args.params[0], bias = args.params[1], residual = args.params[2];
  if (residual) {
    const TileView& added = args[bias ? 3 : 2];
    convert({added.data, added.dtype, added.cols, c.data, c.dtype, c.cols, c.rows, c.cols});
  }
  const bool transpose_a = args.params[3] & 1, transpose_b = args.params[3] & 2;
  gemm({.m = c.rows,
        .n = c.cols,
        .k = transpose_a ? a.rows : a.cols,
        .lda = a.cols,
        .ldb = b.cols,
        .ldc = c.cols,
        .transpose_a = transpose_a,
        .transpose_b = transpose_b,
        .accumulate = !first || residual,
        .a = a.dtype,
        .b = b.dtype,
        .c = c.dtype,
        .bias = bias},
       {.a = a.data, .b = b.data, .c = c.data, .bias = bias ? args[2].as<const float>() : nullptr});
}

}  // namespace tessera
#endif
