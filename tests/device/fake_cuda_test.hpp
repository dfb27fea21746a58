// Tests on the fake CUDA: they skip without an OpenCL device, and see to it that nothing is misused or kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "tests/device/fake_cuda.hpp"

namespace tessera {

class FakeCudaTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* index = std::getenv("TESSERA_TEST_OPENCL");
    fake = std::make_unique<FakeCuda>(index ? std::atoi(index) : 0);
  }
  static void TearDownTestSuite() { fake.reset(); }

  void SetUp() override {
    if (!fake->why_not().empty()) GTEST_SKIP() << fake->why_not();
    fake->forget();
  }
  void TearDown() override {
    EXPECT_THAT(fake->problems(), testing::IsEmpty());
    EXPECT_EQ(fake->live(), "") << "are not given back";
  }
  static bool has_nvrtc() {
    try {
      cuda_api().nvrtc();
      return true;
    } catch (const Failure&) {
      return false;
    }
  }

  static inline std::unique_ptr<FakeCuda> fake;
};

// Device memory with values.
struct Floats {
  DeviceQueue& queue;
  size_t n;
  void* memory;

  Floats(DeviceQueue& q, const std::vector<float>& values)
      : queue(q), n(values.size()), memory(q.allocate(n * sizeof(float))) {
    queue.write(memory, values.data(), n * sizeof(float));
  }
  ~Floats() { queue.deallocate(memory); }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;

  std::vector<float> get() const {  // waits for the queue
    std::vector<float> values(n);
    queue.read(values.data(), memory, n * sizeof(float));
    return values;
  }
  std::vector<float> here() const {  // what the fake's memory holds now
    const auto* values = static_cast<const float*>(memory);
    return {values, values + n};
  }
};

}  // namespace tessera
