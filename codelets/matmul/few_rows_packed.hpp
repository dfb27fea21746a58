// Products of a few rows with a right factor as pack_right lays it out for oneDNN.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/matmul/gemm.hpp"

namespace tessera {

// Whether add_packed_rows is what a few rows want where the right factor lies so.
bool has_packed_rows(DType type);

// y[r, :] += a[r, :] · op(b) for every r < m, both factors of one type. Rows of y are whole panels of
// packed_columns, of which columns from n on may become anything.
void add_packed_rows(const Gemm& g, const void* a, const void* packed, float* y);

}  // namespace tessera
