// Products of a few rows on CPUs that multiply bf16 themselves.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/core/dtype.hpp"

namespace tessera {

struct BF16Dots {
  int64_t m, n, k, ldx, ldb;
};

bool has_bf16_dots();
// y[m, n] += x[m, k] bᵀ, b [n, k], where the CPU has_bf16_dots().
void add_bf16_dots(const BF16Dots& shape, const bf16* x, const bf16* b, float* y);

}  // namespace tessera
