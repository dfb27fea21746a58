// Compiling with NVRTC, the cache of machine code, and loading.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/cuda_kernels.hpp"

#include <fmt/format.h>

#include <sstream>

#include "runtime/device/cache.hpp"
#include "runtime/device/source.hpp"

namespace tessera {
namespace {

void check(const Nvrtc& nvrtc, nvrtcResult status, std::string_view call) {
  if (status != NVRTC_SUCCESS) throw failure("CUDA: {}: {}", call, nvrtc.nvrtcGetErrorString(status));
}

class Program {
 public:
  Program(const Nvrtc& nvrtc, const std::string& source, const std::string& name) : nvrtc_(nvrtc) {
    check(nvrtc, nvrtc.nvrtcCreateProgram(&program_, source.c_str(), name.c_str(), 0, nullptr, nullptr),
          "nvrtcCreateProgram");
  }
  ~Program() { nvrtc_.nvrtcDestroyProgram(&program_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  bool compile(const std::vector<std::string>& options) {
    std::vector<const char*> words;
    for (const std::string& option : options) words.push_back(option.c_str());
    return nvrtc_.nvrtcCompileProgram(program_, static_cast<int>(words.size()), words.data()) ==
           NVRTC_SUCCESS;
  }

  std::string log() const {
    size_t size = 0;
    check(nvrtc_, nvrtc_.nvrtcGetProgramLogSize(program_, &size), "nvrtcGetProgramLogSize");
    std::string text(size, '\0');
    check(nvrtc_, nvrtc_.nvrtcGetProgramLog(program_, text.data()), "nvrtcGetProgramLog");
    return text.c_str();  // without the final zero
  }

  std::vector<char> binary() const {
    size_t size = 0;
    check(nvrtc_, nvrtc_.nvrtcGetCUBINSize(program_, &size), "nvrtcGetCUBINSize");
    std::vector<char> code(size);
    check(nvrtc_, nvrtc_.nvrtcGetCUBIN(program_, code.data()), "nvrtcGetCUBIN");
    return code;
  }

 private:
  const Nvrtc& nvrtc_;
  nvrtcProgram program_ = nullptr;
};

std::vector<std::string> options_of(const DeviceKernel& kernel, const std::string& architecture) {
  std::vector<std::string> options{"--gpu-architecture=" + architecture, "--std=c++17",
                                   "--diag-suppress=177"};  // functions that this kernel does not use
  std::istringstream words(kernel.options());
  for (std::string word; words >> word;) options.push_back(word);
  return options;
}

}  // namespace

CudaProgram compile_for_cuda(const Nvrtc& nvrtc, const DeviceKernel& kernel, const std::string& architecture,
                             const std::string& device, const std::vector<std::string>& options) {
  Program program(nvrtc, device_source(kernel.op), std::string(kernel.op) + "_gpu.cl");
  std::vector<std::string> all = options_of(kernel, architecture);
  all.insert(all.end(), options.begin(), options.end());
  if (!program.compile(all))
    throw CompileFailure(fmt::format("{}: kernel {} does not compile for {}: {}", kernel.op, kernel.name,
                                     device, error_line(program.log())));
  return {program.binary(), program.log()};
}

CudaKernels::~CudaKernels() {
  for (auto& [_, library] : libraries_) api_.runtime().cudaLibraryUnload(library);
}

cudaKernel_t CudaKernels::operator[](const DeviceKernel& kernel) {
  if (auto found = kernels_.find(kernel); found != kernels_.end()) return found->second;
  cudaLibrary_t library = library_of(kernel);
  cudaKernel_t made = nullptr;
  const CudaRuntime& cuda = api_.runtime();
  if (cuda.cudaLibraryGetKernel(&made, library, std::string(kernel.name).c_str()) != cudaSuccess) {
    cuda.cudaGetLastError();
    throw CompileFailure(fmt::format("{}: its device source has no kernel {}", kernel.op, kernel.name));
  }
  return kernels_.emplace(kernel, made).first->second;
}

cudaLibrary_t CudaKernels::library_of(const DeviceKernel& kernel) {
  const std::string name = std::string(kernel.op) + kernel.options();
  if (auto found = libraries_.find(name); found != libraries_.end()) return found->second;
  const Nvrtc& nvrtc = api_.nvrtc();
  int major = 0, minor = 0;
  check(nvrtc, nvrtc.nvrtcVersion(&major, &minor), "nvrtcVersion");
  const std::string architecture = device_.architecture();
  const std::string key = KernelCache::key(device_source(kernel.op), kernel.options(),
                                           fmt::format("{}, NVRTC {}.{}", architecture, major, minor));
  std::optional<std::vector<char>> binary = KernelCache::load(key);
  if (!binary) {
    binary = compile_for_cuda(nvrtc, kernel, architecture, device_.name).binary;
    KernelCache::store(key, *binary);
  }
  cudaLibrary_t library = nullptr;
  const CudaRuntime& cuda = api_.runtime();
  check(cuda, cuda.cudaLibraryLoadData(&library, binary->data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
        "cudaLibraryLoadData");
  return libraries_.emplace(name, library).first->second;
}

}  // namespace tessera
