// Both forms of the device's matrix product against a naive one, at sizes around their blocks.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "codelets/matmul/matmul_gpu.hpp"
#include "runtime/device/opencl.hpp"

namespace tessera {
namespace {

struct Size {
  int64_t m, n, k;
};

std::vector<float> numbers(int64_t count, int seed) {
  std::vector<float> list;
  for (int64_t i = 0; i < count; ++i) list.push_back(static_cast<float>((i * 37 + seed * 11) % 23 - 11) / 8);
  return list;
}

class DeviceMatmulTest : public testing::TestWithParam<DeviceMatmul> {
 protected:
  void SetUp() override {
    if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
    queue_ = make_opencl_queue(0);
  }
  void* upload(const std::vector<float>& values) {
    void* memory = queue_->allocate(values.size() * sizeof(float));
    queue_->write(memory, values.data(), values.size() * sizeof(float));
    return memory;
  }

  void expect_product(const Size& size, bool ta, bool tb) {
    const auto [m, n, k] = size;
    const std::vector<float> a = numbers(m * k, 1), b = numbers(k * n, 2), bias = numbers(n, 3),
                             d = numbers(m * n, 4);
    void *at_a = upload(a), *at_b = upload(b), *at_bias = upload(bias), *at_c = upload(d);
    const Gemm shape{.m = m,
                     .n = n,
                     .k = k,
                     .lda = ta ? m : k,
                     .ldb = tb ? k : n,
                     .ldc = n,
                     .transpose_a = ta,
                     .transpose_b = tb,
                     .accumulate = true,
                     .bias = true};
    device_matmul(*queue_, shape, {at_a, at_b, at_c, static_cast<const float*>(at_bias)},
                  {at_c, DType::f32, n}, GetParam());
    queue_->end_task();
    std::vector<float> c(d.size());
    queue_->read(c.data(), at_c, c.size() * sizeof(float));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = bias[static_cast<size_t>(j)] + d[static_cast<size_t>(i * n + j)];
        for (int64_t l = 0; l < k; ++l)
          sum += static_cast<double>(a[static_cast<size_t>(ta ? l * m + i : i * k + l)]) *
                 b[static_cast<size_t>(tb ? j * k + l : l * n + j)];
        ASSERT_NEAR(c[static_cast<size_t>(i * n + j)], sum, 1e-5 * std::sqrt(static_cast<double>(k)) * 8)
            << m << " x " << n << " x " << k << ", element " << i << ", " << j;
      }
    for (void* memory : {at_a, at_b, at_bias, at_c}) queue_->deallocate(memory);
  }

  std::unique_ptr<DeviceQueue> queue_;
};

TEST_P(DeviceMatmulTest, MatchesTheNaiveOne) {
  for (const Size& size :
       {Size{1, 1, 1}, Size{64, 64, 128}, Size{65, 63, 129}, Size{7, 130, 5}, Size{128, 96, 300}})
    for (bool ta : {false, true})
      for (bool tb : {false, true}) expect_product(size, ta, tb);
}

INSTANTIATE_TEST_SUITE_P(Forms, DeviceMatmulTest, testing::Values(DeviceMatmul::panels, DeviceMatmul::tiles),
                         [](const auto& form) {
                           return form.param == DeviceMatmul::panels ? "panels" : "tiles";
                         });

}  // namespace
}  // namespace tessera
