// Attention's softmax on the CPU: online forward, and its gradient.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/attention/softmax_block_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/attention/softmax_rows.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

void dots(int64_t rows, int64_t cols, DType dtype, const void* o, const void* d_o, int64_t ld, float* delta) {
  with_float(dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < rows; ++r)
      delta[r] = sum_of(
          cols, [](auto a, auto b) { return hn::Mul(a, b); }, static_cast<const T*>(o) + r * ld,
          static_cast<const T*>(d_o) + r * ld);
  });
}

void store_all(int64_t rows, int64_t cols, const float* src, void* dst, DType dtype, int64_t ld) {
  with_float(dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < rows; ++r)
      map(cols, static_cast<T*>(dst) + r * ld, [](auto x) { return x; }, src + r * cols);
  });
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(online);
HWY_EXPORT(finish);
HWY_EXPORT(gradient);
HWY_EXPORT(dots);
HWY_EXPORT(store_all);

void online_softmax(const ScoreBlock& block, const OnlineSoftmax& state) {
  HWY_DYNAMIC_DISPATCH(online)(block, state);
}
void finish_softmax(const ScoreBlock& block, const OnlineSoftmax& state, int64_t begin, int64_t end,
                    const AttentionResult& result) {
  HWY_DYNAMIC_DISPATCH(finish)(block, state, begin, end, result);
}
void softmax_gradient(const ScoreBlock& block, float* d_p, const float* lse, const float* delta) {
  HWY_DYNAMIC_DISPATCH(gradient)(block, d_p, lse, delta);
}
void row_dots(int64_t rows, int64_t cols, DType dtype, const void* o, const void* d_o, int64_t ld,
              float* delta) {
  HWY_DYNAMIC_DISPATCH(dots)(rows, cols, dtype, o, d_o, ld, delta);
}
void store_rows(int64_t rows, int64_t cols, const float* src, void* dst, DType dtype, int64_t ld) {
  HWY_DYNAMIC_DISPATCH(store_all)(rows, cols, src, dst, dtype, ld);
}
}  // namespace tessera
#endif
