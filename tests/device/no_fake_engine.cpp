// A build without CUDA's headers, or without OpenCL, has no fake.
// SPDX-License-Identifier: Apache-2.0
#include "tests/device/fake_engine.hpp"

namespace tessera {

std::string why_no_fake_cuda() { return "this build is without CUDA or without OpenCL"; }

std::unique_ptr<Engine> make_fake_cuda_engine() { throw failure("{}", why_no_fake_cuda()); }

std::vector<std::string> fake_cuda_problems() { return {}; }

}  // namespace tessera
