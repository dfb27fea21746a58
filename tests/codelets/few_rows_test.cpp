// Products of a few rows against a naive sum, on every vector unit that this machine has, and each row alone
// against all of them together.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <hwy/targets.h>

#include "codelets/matmul/few_rows_bf16.hpp"
#include "tests/codelets/products.hpp"

namespace tessera {
namespace {

using testing_products::check;
using testing_products::Matrix;

class FewRows : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(FewRows, AreTheNaiveSum) {
  // Depths that fill no vector, one, one and a half, and an odd number of elements of many.
  for (const int64_t m : {1, 3, 4, 6, 16})
    for (const int64_t n : {1, 5, 13, 24})
      for (const int64_t k : {1, 7, 32, 48, 131, 515})
        for (int kind = 0; kind < 16; ++kind) {
          const Gemm g{.m = m,
                       .n = n,
                       .k = k,
                       .transpose_a = kind == 15,
                       .transpose_b = (kind & 1) != 0,
                       .accumulate = (kind & 2) != 0,
                       .a = kind & 4 ? DType::bf16 : DType::f32,
                       .b = kind & 8 ? DType::bf16 : DType::f32,
                       .c = kind % 3 == 0 ? DType::bf16 : DType::f32,
                       .bias = kind % 5 == 0};
          check(g, fmt::format("{} x {} x {}, kind {}", m, n, k, kind), few_rows_product);
          if (HasFatalFailure()) return;
        }
}

// Sequences decoded together have the bits that each has alone.
TEST_P(FewRows, OfARowDoNotDependOnTheOthers) {
  constexpr int64_t m = 16, n = 37, k = 259;
  for (const DType type : {DType::f32, DType::bf16})
    for (const bool transposed : {false, true}) {
      std::mt19937 random(3);
      const Matrix a(m, k, type, random), b(transposed ? n : k, transposed ? k : n, type, random);
      Gemm g{.m = m,
             .n = n,
             .k = k,
             .lda = a.ld,
             .ldb = b.ld,
             .ldc = n,
             .transpose_b = transposed,
             .a = type,
             .b = type};
      std::vector<float> all(m * n), one(n);
      few_rows_product(g, {.a = a.bytes.data(), .b = b.bytes.data(), .c = all.data()});
      g.m = 1;
      for (int64_t r = 0; r < m; ++r) {
        few_rows_product(g, {.a = a.bytes.data() + static_cast<size_t>(r * a.ld) * size_of(type),
                             .b = b.bytes.data(),
                             .c = one.data()});
        for (int64_t j = 0; j < n; ++j)
          EXPECT_EQ(one[static_cast<size_t>(j)], all[static_cast<size_t>(r * n + j)])
              << name_of(type) << (transposed ? ", transposed" : "") << ": row " << r << ", column " << j;
      }
    }
}

#if defined(__x86_64__)
// Also where few_rows_product leaves the instruction alone, as on CPUs where it is the slower one.
TEST(BF16DotsTest, AreTheNaiveSum) {
  if (!__builtin_cpu_supports("avx512bf16")) GTEST_SKIP() << "this CPU has no vdpbf16ps";
  for (const int64_t m : {1, 3, 4, 16})
    for (const int64_t k : {31, 64, 515})
      check({.m = m, .n = 21, .k = k, .transpose_b = true, .a = DType::bf16, .b = DType::bf16},
            fmt::format("{} x 21 x {}", m, k), [](const Gemm& g, const GemmOperands& with) {
              float* c = static_cast<float*>(with.c);
              std::vector<float> y(static_cast<size_t>(g.m * g.n), 0);
              add_bf16_dots({g.m, g.n, g.k, g.lda, g.ldb}, static_cast<const bf16*>(with.a),
                            static_cast<const bf16*>(with.b), y.data());
              for (int64_t i = 0; i < g.m; ++i) std::copy_n(y.data() + i * g.n, g.n, c + i * g.ldc);
            });
}
#endif

INSTANTIATE_TEST_SUITE_P(OnEveryVectorUnit, FewRows, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

}  // namespace
}  // namespace tessera
