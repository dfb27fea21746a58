// Device kernels as machine code for one GPU: compiled by NVRTC, loaded through the runtime library.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/device/cuda.hpp"
#include "runtime/device/cuda_api.hpp"

namespace tessera {

struct CudaProgram {
  std::vector<char> binary;  // a cubin
  std::string log;           // of the compiler, and of the assembler if `options` ask it
};

// The source of the kernel's op with the kernel's definitions; throws CompileFailure naming `device`.
CudaProgram compile_for_cuda(const Nvrtc& nvrtc, const DeviceKernel& kernel, const std::string& architecture,
                             const std::string& device, const std::vector<std::string>& options = {});

// Compiles when a kernel is first asked for, or takes what an earlier process compiled.
class CudaKernels {
 public:
  CudaKernels(const CudaApi& api, const CudaDevice& device) : api_(api), device_(device) {}
  ~CudaKernels();
  CudaKernels(const CudaKernels&) = delete;
  CudaKernels& operator=(const CudaKernels&) = delete;

  cudaKernel_t operator[](const DeviceKernel& kernel);

 private:
  cudaLibrary_t library_of(const DeviceKernel& kernel);

  const CudaApi& api_;
  const CudaDevice device_;
  std::unordered_map<DeviceKernel, cudaKernel_t, DeviceKernelHash> kernels_;
  std::unordered_map<std::string, cudaLibrary_t> libraries_;  // per source and definitions
};

}  // namespace tessera
