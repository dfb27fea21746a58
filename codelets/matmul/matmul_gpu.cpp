// matmul on devices: the vendor's library where there is one, else the form of our kernel that suits the
// device.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/matmul_gpu.hpp"

#include <algorithm>

namespace tessera {
namespace {

constexpr int has_bias = 1, has_addend = 2;  // as the kernels number them

int64_t count(int64_t size, int64_t each) { return (size + each - 1) / each; }

}  // namespace

void device_matmul(DeviceQueue& queue, const Gemm& g, const GemmOperands& with, const Addend& addend,
                   DeviceMatmul form) {
  const bool panels = form == DeviceMatmul::panels;
  const int transposes = g.transpose_a + 2 * g.transpose_b;
  const int tm = 64, tn = 64, tk = panels ? 128 : 16, mr = panels ? 8 : 4, nr = panels ? 32 : 4;
  const DType added = addend.data ? addend.dtype : DType::f32;
  const DeviceKernel kernel{"matmul",
                            panels ? "matmul_panels" : "matmul_tiles",
                            {{"TA", g.a},
                             {"TB", g.b},
                             {"TC", g.c},
                             {"TD", added},
                             {"TRANSPOSES", transposes},
                             {"TM", tm},
                             {"TN", tn},
                             {"TK", tk},
                             {"MR", mr},
                             {"NR", nr}}};
  const auto whole = [](int64_t x) { return static_cast<int32_t>(x); };
  const int32_t has = (g.bias ? has_bias : 0) + (addend.data ? has_addend : 0);
  const void* bias =
      g.bias ? static_cast<const void*>(with.bias) : with.a;  // what is not read must still be memory
  const void* d = addend.data ? addend.data : with.a;
  if (!panels) {
    const Grid grid{.groups = {count(g.n, tn), count(g.m, tm), 1}, .items = {tn / nr, tm / mr}};
    return queue.launch(kernel, grid, with.a, with.b, static_cast<const void*>(with.c), bias, d, has,
                        whole(g.m), whole(g.n), whole(g.k), whole(g.lda), whole(g.ldb), whole(g.ldc),
                        whole(addend.ld));
  }
  const Grid grid{.groups = {count(g.n, tn), count(g.m, tm), 1}, .items = {1, 1}};
  queue.launch(kernel, grid, with.a, with.b, static_cast<const void*>(with.c), bias, d, has, whole(g.m),
               whole(g.n), whole(g.k), whole(g.lda), whole(g.ldb), whole(g.ldc), whole(addend.ld),
               static_cast<int32_t>(tm));
}

// params: overwrite, bias, residual, transposes (1: A, 2: B)
void matmul_gpu(const TileArgs& args, DeviceQueue& queue) {
  const TileView &a = args[0], &b = args[1], &c = args[args.count() - 1];
  const bool first = args.params[0], bias = args.params[1], residual = args.params[2];
  const bool transpose_a = args.params[3] & 1, transpose_b = args.params[3] & 2;
  const Gemm shape{.m = c.rows,
                   .n = c.cols,
                   .k = transpose_a ? a.rows : a.cols,
                   .lda = a.cols,
                   .ldb = b.cols,
                   .ldc = c.cols,
                   .transpose_a = transpose_a,
                   .transpose_b = transpose_b,
                   .accumulate = !first,
                   .a = a.dtype,
                   .b = b.dtype,
                   .c = c.dtype,
                   .bias = bias};
  const GemmOperands operands{
      .a = a.data, .b = b.data, .c = c.data, .bias = bias ? args[2].as<const float>() : nullptr};
  if (!residual && queue.library_gemm(shape, operands)) return;
  Addend addend;
  if (residual) addend = {args[bias ? 3 : 2].data, args[bias ? 3 : 2].dtype, c.cols};
  if (!first) addend = {c.data, c.dtype, c.cols};
  device_matmul(queue, shape, operands, addend, queue.is_cpu() ? DeviceMatmul::panels : DeviceMatmul::tiles);
}

}  // namespace tessera
