// What cross_entropy's ops and kernels share: its attributes, and what is known of a row from some of its
// columns.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>

#include "codelets/cross_entropy/cross_entropy.hpp"

namespace tessera {

struct CrossEntropyOp : Op {
  CrossEntropyOptions options;
  bool from_loss = true, from_lse = false;  // which gradients a backward op is given

  explicit CrossEntropyOp(CrossEntropyOptions o) : options(o) {}
};

// Over the columns of one tile, or of several: max, Σ exp(x - max), the label's logit (0 where another tile
// has it) and Σ x (only with label smoothing). A tile of them is f32 [rows, 4].
struct RowStats {
  float max = -std::numeric_limits<float>::infinity(), sum = 0, label = 0, total = 0;
};
inline constexpr int64_t row_stats_width = sizeof(RowStats) / sizeof(float);

// max may be -inf (nothing but masked columns); subtracting it from itself must not make a NaN.
inline float finite_shift(float max) { return max == -std::numeric_limits<float>::infinity() ? 0 : max; }

inline RowStats merge(const RowStats& a, const RowStats& b) {
  const float max = std::max(a.max, b.max), shift = finite_shift(max);
  return {.max = max,
          .sum = a.sum * std::exp(a.max - shift) + b.sum * std::exp(b.max - shift),
          .label = a.label + b.label,
          .total = a.total + b.total};
}

}  // namespace tessera
