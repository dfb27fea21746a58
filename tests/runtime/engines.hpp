// What the tests of the executor run on: in-process threads, or StarPU with one of its schedulers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "runtime/core/machine.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {

// For test parameters and their names, found by argument-dependent lookup.
inline void PrintTo(const EngineOptions& options, std::ostream* out) {
  *out << fmt::format("{} {} {}", options.engine, options.scheduler, options.workers);
}

namespace testing_ops {

class EngineTest : public testing::TestWithParam<EngineOptions> {
 protected:
  void SetUp() override {
    if (GetParam().workers > usable_cores())
      GTEST_SKIP() << "this machine has no " << GetParam().workers << " cores";
    if (!GetParam().opencl.empty() && opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
  }
};

inline std::string engine_name(const testing::TestParamInfo<EngineOptions>& info) {
  const EngineOptions& options = info.param;
  return options.copies               ? fmt::format("copies_{}_{}", options.scheduler, options.workers)
         : options.engine == "starpu" ? fmt::format("starpu_{}_{}", options.scheduler, options.workers)
                                      : fmt::format("threads_{}", options.workers);
}

// The sanitizers slow engines down by an order of magnitude.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr double patience = 10;
#else
inline constexpr double patience = 1;
#endif

}  // namespace testing_ops
}  // namespace tessera
