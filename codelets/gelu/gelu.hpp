// The Gaussian error linear unit, in its exact form and in the form by tanh.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

enum class GeluForm : uint8_t {
  exact,  // y = x (1 + erf(x / √2)) / 2
  tanh,   // y = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, as in GPT-2
};

// x: floats of any shape. Result: like x.
Tensor gelu(Tensor x, GeluForm form = GeluForm::exact);

// What the op "gelu" and its backward know; kernels and plan passes read it.
struct GeluAttributes : Op {
  explicit GeluAttributes(GeluForm f) : form(f) {}

  GeluForm form;
};

}  // namespace tessera
