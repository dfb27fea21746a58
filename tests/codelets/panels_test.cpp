// Products by panels against a naive sum, on every vector unit that this machine has: which CPUs gemm uses
// them on is a matter of speed.
// SPDX-License-Identifier: Apache-2.0
#include <hwy/targets.h>

#include "runtime/core/error.hpp"
#include "tests/codelets/products.hpp"

namespace tessera {
namespace {

using testing_products::check;

TEST(PanelProduct, IsTheNaiveSumOnEveryVectorUnit) {
  // Whole panels; less than one; several blocks of steps, of rows and of columns with ends that fill no
  // panel.
  constexpr struct {
    int64_t m, n, k;
  } sizes[] = {{48, 96, 40},  {3, 5, 2},    {17, 33, 19},   {197, 29, 263},
               {21, 1061, 7}, {8, 32, 600}, {500, 70, 512}, {7, 4200, 512}};
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const auto& [m, n, k] : sizes)
      for (int kind = 0; kind < 32; kind += m * n * k < 5'000'000 ? 1 : 5) {
        const DType narrow = kind & 4 ? DType::bf16 : DType::f32;
        const Gemm g{.m = m,
                     .n = n,
                     .k = k,
                     .transpose_a = (kind & 1) != 0,
                     .transpose_b = (kind & 2) != 0,
                     .accumulate = (kind & 8) != 0,
                     .a = narrow,
                     .b = kind % 5 == 0 ? DType::f32 : narrow,
                     .c = kind % 3 == 0 ? DType::f32 : narrow,
                     .bias = (kind & 16) != 0};
        check(g,
              std::string(hwy::TargetName(target)) + ", kind " + std::to_string(kind) + ", " +
                  std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k),
              panel_product);
        if (HasFatalFailure()) break;
      }
  }
  hwy::SetSupportedTargetsForTest(0);
}

// From a right factor that was laid out for it.
void packed_product(const Gemm& g, GemmOperands with) {
  std::vector<float> packed(static_cast<size_t>(packed_panels_size(g.k, g.n)));
  pack_panels(g, with.b, packed.data());
  Gemm product = g;
  product.packed_b = true;
  with.b = packed.data();
  panel_product(product, with);
}

TEST(PanelProduct, OfLaidOutFactorsIsTheSameOnEveryVectorUnit) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const int64_t k : {19, 64, 600})
      for (int kind = 0; kind < 8; ++kind) {
        const DType type = kind & 4 ? DType::bf16 : DType::f32;
        check({.m = 53,
               .n = 130,
               .k = k,
               .transpose_a = (kind & 1) != 0,
               .transpose_b = (kind & 2) != 0,
               .a = type,
               .b = type,
               .c = type},
              std::string(hwy::TargetName(target)) + ", kind " + std::to_string(kind), packed_product);
      }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(Gemm, RefusesAnActivationOnTheCpu) {
  float x = 1, y = 0;
  const Gemm g{.m = 1, .n = 1, .k = 1, .lda = 1, .ldb = 1, .ldc = 1, .activation = Activation::relu};
  EXPECT_THROW(gemm(g, {.a = &x, .b = &x, .c = &y}), Error);
  EXPECT_EQ(y, 0);
}

}  // namespace
}  // namespace tessera
