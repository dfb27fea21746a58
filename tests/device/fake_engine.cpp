// One fake for all of a program's tests, so that kernels are compiled once.
// SPDX-License-Identifier: Apache-2.0
#include "tests/device/fake_engine.hpp"

#include <cstdlib>

#include "tests/device/fake_cuda.hpp"

namespace tessera {
namespace {

FakeCuda& fake() {
  static FakeCuda one([] {
    const char* index = std::getenv("TESSERA_TEST_OPENCL");  // of another device than the first
    return index ? std::atoi(index) : 0;
  }());
  return one;
}

}  // namespace

std::string why_no_fake_cuda() { return fake().why_not(); }

std::unique_ptr<Engine> make_fake_cuda_engine() { return make_device_engine(make_cuda_queue(fake(), 0)); }

std::vector<std::string> fake_cuda_problems() {
  std::vector<std::string> problems = fake().problems();
  fake().forget();
  return problems;
}

}  // namespace tessera
