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

// params: transposed
void pack_cpu(const TileArgs& args) {
  const TileView& b = args[0];
  const bool transposed = args.params[0];
  pack_right({.n = transposed ? b.rows : b.cols,
              .k = transposed ? b.cols : b.rows,
              .ldb = b.cols,
              .transpose_b = transposed,
              .a = b.dtype,
              .b = b.dtype},
             b.data, args[1].data);
}

// params: overwrite, bias, residual, operands (1: A transposed, 2: B transposed, 4: B packed)
void matmul_cpu(const TileArgs& args) {
  const TileView &a = args[0], &b = args[1], &c = args[args.count() - 1];
  const bool first = args.params[0], bias = args.params[1], residual = args.params[2];
  if (residual) {
    const TileView& added = args[bias ? 3 : 2];
    convert({added.data, added.dtype, added.cols, c.data, c.dtype, c.cols, c.rows, c.cols});
  }
  const bool transpose_a = args.params[3] & 1, transpose_b = args.params[3] & 2,
             packed_b = args.params[3] & 4;
  gemm({.m = c.rows,
        .n = c.cols,
        .k = transpose_a ? a.rows : a.cols,
        .lda = a.cols,
        .ldb = packed_b ? 0 : b.cols,
        .ldc = c.cols,
        .transpose_a = transpose_a,
        .transpose_b = transpose_b && !packed_b,
        .accumulate = !first || residual,
        .packed_b = packed_b,
        .a = a.dtype,
        .b = b.dtype,
        .c = c.dtype,
        .bias = bias},
       {.a = a.data, .b = b.data, .c = c.data, .bias = bias ? args[2].as<const float>() : nullptr});
}

}  // namespace tessera
#endif
