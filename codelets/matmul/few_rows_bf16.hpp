// Products of a few rows on CPUs that multiply bf16 themselves.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "runtime/core/dtype.hpp"

namespace tessera {

struct BF16Dots {
  int64_t m, n, k, ldx, ldb;
  int64_t first = 0;  // column of y; those before it are left alone
};

bool has_bf16_dots();  // that are worth taking
// y[m, n] += x[m, k] bᵀ, b [n, k], where the CPU has_bf16_dots().
void add_bf16_dots(const BF16Dots& shape, const bf16* x, const bf16* b, float* y);

// The same by matrix units, for m ≤ 16 and as many columns of y as are returned; x is in the calling kernel's
// scratch memory meanwhile.
bool has_bf16_tiles();
int64_t add_bf16_tiles(const BF16Dots& shape, const bf16* x, const bf16* b, float* y);

}  // namespace tessera
