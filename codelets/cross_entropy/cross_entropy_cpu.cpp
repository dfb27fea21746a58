// cross_entropy on the CPU: the passes over logits.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/cross_entropy/cross_entropy_cpu.cpp"
// clang-format off: what follows foreach_target.h is compiled once per target
#include <hwy/foreach_target.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

#include <algorithm>
#include <cmath>

#include "codelets/cross_entropy/row_stats.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

constexpr int64_t chunk =
    2048;  // columns that stay in the first-level cache between finding the maximum and summing

// Highway's Exp makes 0 of a NaN, which would hide a diverged model.
HWY_INLINE Vec exp_or_nan(Vec x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(F32(), x)); }

template <class T>
RowStats stats_of(const T* x, int64_t n, bool with_total) {
  auto same = [](auto v) { return v; };
  RowStats row;
  for (int64_t at = 0; at < n; at += chunk) {
    const int64_t count = std::min(chunk, n - at);
    const float max = std::max(row.max, max_of(count, same, x + at));
    if (max > row.max) row.sum *= std::exp(row.max - max);
    row.max = max;
    const Vec shift = set(finite_shift(max));
    row.sum += sum_of(count, [&](auto v) { return exp_or_nan(hn::Sub(v, shift)); }, x + at);
    if (with_total) row.total += sum_of(count, same, x + at);
  }
  return row;
}

// logits [rows, cols], labels [rows] -> stats [rows, 4]
void cross_entropy_stats(const TileArgs& args) {
  const TileView& logits = args[0];
  const bool smoothed = args.attributes<CrossEntropyOp>().options.label_smoothing > 0;
  const int32_t* labels = args[1].as<const int32_t>();
  RowStats* stats = args[2].as<RowStats>();
  with_float(logits.dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < logits.rows; ++r) {
      const T* x = logits.as<const T>() + r * logits.cols;
      stats[r] = stats_of(x, logits.cols, smoothed);
      const int64_t label = labels[r] - logits.col0;
      if (label >= 0 && label < logits.cols) stats[r].label = static_cast<float>(x[label]);
    }
  });
}

// d_logits[r, v] = softmax[r, v] · (scale + d_lse[r]) - target[r, v] · scale, scale = d_loss / count or 0
void cross_entropy_backward(const TileArgs& args) {
  const auto& op = args.attributes<CrossEntropyOp>();
  const TileView &dst = args[0], &logits = args[1];
  const int32_t* labels = args[2].as<const int32_t>();
  const float* lse = args[3].as<const float>();
  const float count = *args[4].as<const float>();
  const float d_loss = op.from_loss && count > 0 ? *args[5].as<const float>() / count : 0;
  const float* d_lse = op.from_lse ? args[op.from_loss ? 6 : 5].as<const float>() : nullptr;
  const float smoothing = static_cast<float>(op.options.label_smoothing);
  with_float(dst.dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < dst.rows; ++r) {
      const T* x = logits.as<const T>() + r * dst.cols;
      T* y = dst.as<T>() + r * dst.cols;
      const float scale = labels[r] == op.options.ignore_index ? 0 : d_loss;
      const float of_softmax = scale + (d_lse ? d_lse[r] : 0);
      if (scale == 0 && of_softmax == 0) {  // padding: its logits may be anything
        std::fill_n(y, dst.cols, T{});
        continue;
      }
      const float even = scale * smoothing / static_cast<float>(args.params[0]);
      const Vec top = set(lse[r]), factor = set(of_softmax), less = set(even);
      const int64_t label = labels[r] - dst.col0;
      const bool here = label >= 0 && label < dst.cols;
      const float at_label = here ? static_cast<float>(x[label]) : 0;
      map(dst.cols, y, [&](auto v) { return hn::MulSub(exp_or_nan(hn::Sub(v, top)), factor, less); }, x);
      if (here) y[label] = T(std::exp(at_label - lse[r]) * of_softmax - even - (1 - smoothing) * scale);
    }
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(cross_entropy_stats);
HWY_EXPORT(cross_entropy_backward);
void cross_entropy_stats_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(cross_entropy_stats)(args); }
void cross_entropy_backward_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(cross_entropy_backward)(args); }
}  // namespace tessera
#endif
