// Rows of a table by their numbers, and the gradient that goes back into the table.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// y[r] = table[ids[r]], or 0 where ids[r] < 0 (padding). table: [n, width], parameters or activations; ids:
// i32 [rows], below n. Result: [rows, width] in the table's dtype.
Tensor embedding(Tensor table, Tensor ids);

// d_table[v] = base[v] + Σ d_out[r] over the rows with ids[r] = v, in f32. `base` (f32 [n, width], may be
// empty) is added to in place: nothing may read it afterwards.
Tensor embedding_backward(Tensor d_out, Tensor ids, const TensorType& table, Tensor base = {});

}  // namespace tessera
