// Matrix products, with what is cheap to do while the result is in registers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "codelets/matmul/gemm.hpp"
#include "runtime/graph/graph.hpp"

namespace tessera {

struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;
  std::optional<DType> out = {};  // by default a's dtype
};

// y = op(a) · op(b): [m, k] · [k, n] -> [m, n]; op transposes where asked. Sums in f32; over the cuts of k as
// the tiling says. The gradient of a variable is f32. Plans fold a following bias, activation and residual
// into it.
Tensor matmul(Tensor a, Tensor b, const MatmulOptions& options = {});

}  // namespace tessera
