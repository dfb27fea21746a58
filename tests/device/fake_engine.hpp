// The engine of one device on the fake CUDA, also where there is none to be had.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/exec/engine.hpp"

namespace tessera {

std::string why_no_fake_cuda();  // empty where there is one
std::unique_ptr<Engine> make_fake_cuda_engine();
std::vector<std::string> fake_cuda_problems();  // since this was last asked

}  // namespace tessera
