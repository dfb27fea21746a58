// The vector functions of CPU kernels against double precision, on every vector target of this machine.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/codelets/accuracy_test.cpp"
#include <hwy/foreach_target.h>

#include "codelets/simd_math.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
void all_exp(int64_t n, const float* x, float* y) {
  map(n, y, [](auto v) { return exp(v); }, x);
}
void all_sigmoid(int64_t n, const float* x, float* y) {
  map(n, y, [](auto v) { return sigmoid(v); }, x);
}
void all_cdf(int64_t n, const float* x, float* y) {
  map(n, y, [](auto v) { return normal(v).cdf; }, x);
}
void all_pdf(int64_t n, const float* x, float* y) {
  map(n, y, [](auto v) { return normal(v).pdf; }, x);
}
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <limits>
#include <vector>

namespace tessera {
HWY_EXPORT(all_exp);
HWY_EXPORT(all_sigmoid);
HWY_EXPORT(all_cdf);
HWY_EXPORT(all_pdf);

namespace {

using VectorFunction = void (*)(int64_t n, const float* x, float* y);

// The largest relative error over [low, high], both ends included.
double worst(VectorFunction f, double (*exact)(double), float low, float high) {
  constexpr int n = 100001;
  std::vector<float> x(n), y(n);
  for (int i = 0; i < n; ++i) x[i] = low + (high - low) * static_cast<float>(i) / (n - 1);
  f(n, x.data(), y.data());
  double error = 0;
  for (int i = 0; i < n; ++i) {
    if (!std::isfinite(y[i])) return HUGE_VAL;
    error = std::max(error, std::abs(y[i] / exact(x[i]) - 1));
  }
  return error;
}

double exact_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double exact_cdf(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }
double exact_pdf(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI); }

class SimdMath : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

TEST_P(SimdMath, FunctionsAreAccurate) {
  const double ulp = 0x1p-23;
  EXPECT_LT(worst(HWY_DYNAMIC_DISPATCH(all_exp), std::exp, -87, 88), 1 * ulp);
  EXPECT_LT(worst(HWY_DYNAMIC_DISPATCH(all_exp), std::exp, -1, 1), 1 * ulp);
  EXPECT_LT(worst(HWY_DYNAMIC_DISPATCH(all_sigmoid), exact_sigmoid, -86, 20), 3 * ulp);
  EXPECT_LT(worst(HWY_DYNAMIC_DISPATCH(all_sigmoid), exact_sigmoid, -2, 2), 3 * ulp);
  EXPECT_LT(worst(HWY_DYNAMIC_DISPATCH(all_cdf), exact_cdf, -1, 1), 4 * ulp);
  // Without fused multiply-add, the rounding of x² shows in the tail.
  const double tail = GetParam() <= HWY_AVX2 ? 5e-7 : 1e-5;
  EXPECT_LT(worst(HWY_DYNAMIC_DISPATCH(all_cdf), exact_cdf, -12.9f, 8), tail);
  EXPECT_LT(worst(HWY_DYNAMIC_DISPATCH(all_pdf), exact_pdf, -12.9f, 12.9f), tail);
}

TEST_P(SimdMath, ExtremesStayInRange) {
  const float huge = std::numeric_limits<float>::max();
  const std::vector<float> x{-huge, -200, 200, huge};
  std::vector<float> y(4);
  HWY_DYNAMIC_DISPATCH(all_exp)(4, x.data(), y.data());
  EXPECT_EQ(y[0], 0);
  EXPECT_TRUE(std::isfinite(y[3]));
  HWY_DYNAMIC_DISPATCH(all_sigmoid)(4, x.data(), y.data());
  EXPECT_NEAR(y[0], 0, 1e-37);
  EXPECT_EQ(y[3], 1);
  HWY_DYNAMIC_DISPATCH(all_cdf)(4, x.data(), y.data());
  EXPECT_EQ(y, (std::vector<float>{0, 0, 1, 1}));
}

INSTANTIATE_TEST_SUITE_P(Targets, SimdMath, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

}  // namespace
}  // namespace tessera
#endif
