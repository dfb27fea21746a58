// One matrix product on the calling thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "runtime/core/dtype.hpp"

namespace tessera {

enum class Activation : uint8_t { none, gelu_erf, gelu_tanh, silu, relu };

// C[m, n] = act(op(A)[m, k] · op(B)[k, n] + bias[n]) (+ C), row-major with leading dimensions in elements; op
// transposes what is stored the other way round. Sums are in f32, also on CPUs without bf16 units.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;  // add to what C holds
  bool packed_b = false;    // B lies as pack_right left it; ldb and transpose_b are then of no account
  DType a = DType::f32, b = DType::f32, c = DType::f32;
  bool bias = false;                         // f32
  Activation activation = Activation::none;  // on CUDA

  bool operator==(const Gemm&) const = default;
};

struct GemmOperands {
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  const float* bias = nullptr;
  const void* addend = nullptr;  // on CUDA: what accumulate adds, lying as C does, where that is not C itself
};

void gemm(const Gemm& shape, const GemmOperands& operands);

inline constexpr int64_t few_rows = 16;  // of more, whole blocks are faster
void few_rows_product(const Gemm& shape, const GemmOperands& operands);
// What gemm does without AVX-512, in bf16 without bf16_units(), and with large factors on Intel's CPUs.
void panel_product(const Gemm& shape, const GemmOperands& operands);

// op(B) in the layout from which products are fastest: elements of g.b to reserve for it, 0 where there is
// none; and laying it out, which takes k, n, ldb, transpose_b and b from g. pack_panels does so for
// panel_product alone.
inline constexpr int64_t packed_columns = 64, packed_rows = 16;  // of a block of words
int64_t packed_size(const Gemm& g);
void pack_right(const Gemm& g, const void* from, void* to);
void pack_panels(const Gemm& g, const void* from, float* to);
int64_t packed_panels_size(int64_t k, int64_t n);
bool packs_for_library(DType type);

std::string gemm_library();  // its name, version and instruction set

// Whether this CPU multiplies bf16 itself, and faster than f32; otherwise gemm widens the operands.
bool bf16_units();

}  // namespace tessera
