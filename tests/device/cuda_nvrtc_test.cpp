// Every device kernel that the ops' cases launch, compiled to machine code for GPUs that are not here.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <regex>
#include <thread>

#include "runtime/device/cuda_kernels.hpp"
#include "runtime/device/source.hpp"
#include "tests/device/launched_kernels.hpp"

namespace tessera {
namespace {

struct Usage {
  int registers = 0, shared_bytes = 0, stack_bytes = 0, spilled_bytes = 0;
};

// Of each kernel in the assembler's words:
//   ptxas info    : Compiling entry function 'gelu' for 'sm_90'
//   ptxas info    : Function properties for gelu
//       0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
//   ptxas info    : Used 14 registers, used 0 barriers, 376 bytes cmem[0]
std::map<std::string, Usage> usage_of(const std::string& log) {
  static const std::regex kernel("Compiling entry function '(\\w+)'"),
      stack("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads"),
      registers("Used (\\d+) registers"), shared("(\\d+) bytes smem");
  std::map<std::string, Usage> all;
  Usage* current = nullptr;
  for (size_t begin = 0, end; begin < log.size(); begin = end + 1) {
    end = std::min(log.find('\n', begin), log.size());
    const std::string line = log.substr(begin, end - begin);
    std::smatch found;
    if (std::regex_search(line, found, kernel)) current = &all[found[1]];
    if (!current) continue;
    if (std::regex_search(line, found, stack)) {
      current->stack_bytes = std::stoi(found[1]);
      current->spilled_bytes = std::stoi(found[2]) + std::stoi(found[3]);
    }
    if (std::regex_search(line, found, registers)) current->registers = std::stoi(found[1]);
    if (std::regex_search(line, found, shared)) current->shared_bytes = std::stoi(found[1]);
  }
  return all;
}

// One per source and definitions, as kernels share what they were compiled in.
struct Compiled {
  DeviceKernel first;
  std::vector<DeviceKernel> kernels;
  std::string problem;
  std::map<std::string, Usage> usage;
};

std::vector<Compiled> programs() {
  std::map<std::string, Compiled> by_text;
  for (const DeviceKernel& kernel : launched_kernels()) {
    auto& program =
        by_text.try_emplace(std::string(kernel.op) + kernel.options(), Compiled{kernel, {}, {}, {}})
            .first->second;
    program.kernels.push_back(kernel);
  }
  std::vector<Compiled> list;
  for (auto& [_, program] : by_text) list.push_back(std::move(program));
  return list;
}

const Nvrtc* nvrtc() {
  try {
    return &cuda_api().nvrtc();
  } catch (const Failure&) {
    return nullptr;
  }
}

class NvrtcTest : public testing::TestWithParam<const char*> {};

TEST_P(NvrtcTest, EveryKernelFitsIntoItsRegisters) {
  if (!nvrtc()) GTEST_SKIP() << "NVRTC is not here";
  std::vector<Compiled> all = programs();
  ASSERT_FALSE(all.empty());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t p = next++; p < all.size(); p = next++) try {
        const CudaProgram made =
            compile_for_cuda(*nvrtc(), all[p].first, GetParam(), GetParam(), {"--ptxas-options=-v"});
        all[p].usage = usage_of(made.log);
        if (made.binary.empty()) all[p].problem = "there is no machine code";
      } catch (const Failure& why) {
        all[p].problem = why.what();
      }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1u, std::thread::hardware_concurrency()); ++t) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();

  fmt::print("{:<28} {:<52} {:>9} {:>7} {:>6}\n", GetParam(), "definitions", "registers", "shared", "stack");
  for (const Compiled& program : all) {
    EXPECT_EQ(program.problem, "");
    for (const DeviceKernel& kernel : program.kernels) {
      const auto found = program.usage.find(std::string(kernel.name));
      if (found == program.usage.end()) {
        ADD_FAILURE() << kernel.op << ": the assembler does not speak of kernel " << kernel.name;
        continue;
      }
      const Usage& use = found->second;
      fmt::print("{:<28} {:<52} {:>9} {:>7} {:>6}\n", kernel.name, kernel.options(), use.registers,
                 use.shared_bytes, use.stack_bytes);
      EXPECT_EQ(use.spilled_bytes, 0) << kernel.op << ": " << kernel.name << kernel.options();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(For, NvrtcTest, testing::Values("sm_80", "sm_90"),
                         [](const auto& which) { return std::string(which.param); });

// A source without a case that launches it would not be compiled above.
TEST(LaunchedKernels, ComeFromEverySource) {
  std::set<std::string_view> ops;
  for (const DeviceKernel& kernel : launched_kernels()) ops.insert(kernel.op);
  for (const DeviceSource& source : device_sources())
    EXPECT_TRUE(ops.contains(source.op)) << "no case launches a kernel of " << source.op;
}

}  // namespace
}  // namespace tessera
