// matmul on devices: the vendor's library where there is one, else our kernel in sizes that suit the device.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/matmul_gpu.hpp"

#include <algorithm>

namespace tessera {
namespace {

constexpr int has_bias = 1, has_addend = 2;  // as the kernels number them

int64_t count(int64_t size, int64_t each) { return (size + each - 1) / each; }

// Fewer rows than TM where groups would be too few to keep a CPU's cores busy.
int64_t rows_of_group(const Gemm& g, const MatmulSizes& sizes, const DeviceTraits& device) {
  const int64_t wanted = 2 * device.compute_units, across = count(g.n, sizes.tn);
  int64_t rows = sizes.tm;
  while (rows > 4 * sizes.mr && across * count(g.m, rows) < wanted)
    rows = count(rows / 2, sizes.mr) * sizes.mr;
  return rows;
}

// What is there already is added by the library, or a residual in its place.
bool library_matmul(const TileArgs& args, const Gemm& shape, const GemmOperands& operands,
                    DeviceQueue& queue) {
  const bool bias = args.params[1], residual = args.params[2];
  if (!residual) return queue.library_gemm(shape, operands);
  if (queue.api() == DeviceApi::opencl) return false;  // has none, so that a copy would be for nothing
  const TileView &addend = args[bias ? 3 : 2], &c = args[args.count() - 1];
  Gemm sum = shape;
  sum.accumulate = true;
  GemmOperands with = operands;
  if (addend.dtype == c.dtype) {
    with.addend = addend.data;
  } else {
    const std::array<TileView, 2> copied{addend, c};
    kernel_named("cast").gpu({.tiles = copied}, queue);
  }
  return queue.library_gemm(sum, with);
}

}  // namespace

void device_matmul(DeviceQueue& queue, const Gemm& g, const GemmOperands& with, const Addend& addend,
                   const MatmulSizes& sizes) {
  const int transposes = g.transpose_a + 2 * g.transpose_b;
  const DeviceKernel kernel{"matmul",
                            sizes.panels() ? "matmul_panels" : "matmul_tiles",
                            {{"TA", g.a},
                             {"TB", g.b},
                             {"TC", g.c},
                             {"TD", addend.data ? addend.dtype : g.c},
                             {"TRANSPOSES", transposes},
                             {"TM", sizes.tm},
                             {"TN", sizes.tn},
                             {"TK", sizes.tk},
                             {"MR", sizes.mr},
                             {"NR", sizes.nr}}};
  const int64_t rows = sizes.panels() ? rows_of_group(g, sizes, queue.traits()) : sizes.tm;
  Grid grid{.groups = {count(g.n, sizes.tn), count(g.m, rows), 1}, .items = {1, 1}};
  if (!sizes.panels()) grid.items = {sizes.tn / sizes.nr, sizes.tm / sizes.mr};
  const auto whole = [](int64_t x) { return static_cast<int32_t>(x); };
  const int32_t has = (g.bias ? has_bias : 0) + (addend.data ? has_addend : 0);
  const void* bias = g.bias ? with.bias : with.a;  // what is not read must still be memory
  const void* d = addend.data ? addend.data : with.a;
  const std::array<LaunchArg, 14> arguments{with.a,
                                            with.b,
                                            static_cast<const void*>(with.c),
                                            bias,
                                            d,
                                            has,
                                            whole(g.m),
                                            whole(g.n),
                                            whole(g.k),
                                            whole(g.lda),
                                            whole(g.ldb),
                                            whole(g.ldc),
                                            whole(addend.ld),
                                            whole(rows)};
  queue.launch_kernel(kernel, grid, std::span(arguments).first(sizes.panels() ? 14 : 13));
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
  if (library_matmul(args, shape, operands, queue)) return;
  Addend addend;
  if (!first) addend = {c.data, c.dtype, c.cols};
  if (residual) addend = {args[bias ? 3 : 2].data, args[bias ? 3 : 2].dtype, c.cols};
  device_matmul(queue, shape, operands, addend, tuned_matmul(queue, a.dtype));
}

}  // namespace tessera
