// The calls of CUDA's libraries that are used here, as tables that the libraries or a test fill in.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <nvrtc.h>

#include <memory>

#include "runtime/device/queue.hpp"

namespace tessera {

struct CudaRuntime {
  decltype(&::cudaDriverGetVersion) cudaDriverGetVersion;
  decltype(&::cudaGetDeviceCount) cudaGetDeviceCount;
  decltype(&::cudaGetDeviceProperties) cudaGetDeviceProperties;
  decltype(&::cudaDeviceGetPCIBusId) cudaDeviceGetPCIBusId;
  decltype(&::cudaSetDevice) cudaSetDevice;
  decltype(&::cudaGetErrorString) cudaGetErrorString;
  decltype(&::cudaGetLastError) cudaGetLastError;
  decltype(&::cudaStreamCreateWithFlags) cudaStreamCreateWithFlags;
  decltype(&::cudaStreamDestroy) cudaStreamDestroy;
  decltype(&::cudaStreamSynchronize) cudaStreamSynchronize;
  decltype(&::cudaMalloc) cudaMalloc;
  decltype(&::cudaFree) cudaFree;
  decltype(&::cudaHostAlloc) cudaHostAlloc;
  decltype(&::cudaHostGetDevicePointer) cudaHostGetDevicePointer;
  decltype(&::cudaFreeHost) cudaFreeHost;
  decltype(&::cudaMemcpyAsync) cudaMemcpyAsync;
  decltype(&::cudaMemcpy2DAsync) cudaMemcpy2DAsync;
  decltype(&::cudaMemsetAsync) cudaMemsetAsync;
  decltype(&::cudaLibraryLoadData) cudaLibraryLoadData;
  decltype(&::cudaLibraryGetKernel) cudaLibraryGetKernel;
  decltype(&::cudaLibraryUnload) cudaLibraryUnload;
  decltype(&::cudaLaunchKernelExC) cudaLaunchKernelExC;

  // f(name in the library, pointer) for every call.
  template <class F>
  void for_each(F f) {
    // The name of 12.x's symbol for the structure that its headers describe.
    f(CUDART_VERSION < 13000 ? "cudaGetDeviceProperties_v2" : "cudaGetDeviceProperties",
      cudaGetDeviceProperties);
    f("cudaDriverGetVersion", cudaDriverGetVersion);
    f("cudaGetDeviceCount", cudaGetDeviceCount);
    f("cudaDeviceGetPCIBusId", cudaDeviceGetPCIBusId);
    f("cudaSetDevice", cudaSetDevice);
    f("cudaGetErrorString", cudaGetErrorString);
    f("cudaGetLastError", cudaGetLastError);
    f("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags);
    f("cudaStreamDestroy", cudaStreamDestroy);
    f("cudaStreamSynchronize", cudaStreamSynchronize);
    f("cudaMalloc", cudaMalloc);
    f("cudaFree", cudaFree);
    f("cudaHostAlloc", cudaHostAlloc);
    f("cudaHostGetDevicePointer", cudaHostGetDevicePointer);
    f("cudaFreeHost", cudaFreeHost);
    f("cudaMemcpyAsync", cudaMemcpyAsync);
    f("cudaMemcpy2DAsync", cudaMemcpy2DAsync);
    f("cudaMemsetAsync", cudaMemsetAsync);
    f("cudaLibraryLoadData", cudaLibraryLoadData);
    f("cudaLibraryGetKernel", cudaLibraryGetKernel);
    f("cudaLibraryUnload", cudaLibraryUnload);
    f("cudaLaunchKernelExC", cudaLaunchKernelExC);
  }
};

struct Nvrtc {
  decltype(&::nvrtcVersion) nvrtcVersion;
  decltype(&::nvrtcGetErrorString) nvrtcGetErrorString;
  decltype(&::nvrtcCreateProgram) nvrtcCreateProgram;
  decltype(&::nvrtcCompileProgram) nvrtcCompileProgram;
  decltype(&::nvrtcGetProgramLogSize) nvrtcGetProgramLogSize;
  decltype(&::nvrtcGetProgramLog) nvrtcGetProgramLog;
  decltype(&::nvrtcGetCUBINSize) nvrtcGetCUBINSize;
  decltype(&::nvrtcGetCUBIN) nvrtcGetCUBIN;
  decltype(&::nvrtcDestroyProgram) nvrtcDestroyProgram;

  template <class F>
  void for_each(F f) {
    f("nvrtcVersion", nvrtcVersion);
    f("nvrtcGetErrorString", nvrtcGetErrorString);
    f("nvrtcCreateProgram", nvrtcCreateProgram);
    f("nvrtcCompileProgram", nvrtcCompileProgram);
    f("nvrtcGetProgramLogSize", nvrtcGetProgramLogSize);
    f("nvrtcGetProgramLog", nvrtcGetProgramLog);
    f("nvrtcGetCUBINSize", nvrtcGetCUBINSize);
    f("nvrtcGetCUBIN", nvrtcGetCUBIN);
    f("nvrtcDestroyProgram", nvrtcDestroyProgram);
  }
};

struct CublasLt {
  decltype(&::cublasLtGetVersion) cublasLtGetVersion;
  decltype(&::cublasLtCreate) cublasLtCreate;
  decltype(&::cublasLtDestroy) cublasLtDestroy;
  decltype(&::cublasLtGetStatusString) cublasLtGetStatusString;
  decltype(&::cublasLtMatmulDescCreate) cublasLtMatmulDescCreate;
  decltype(&::cublasLtMatmulDescDestroy) cublasLtMatmulDescDestroy;
  decltype(&::cublasLtMatmulDescSetAttribute) cublasLtMatmulDescSetAttribute;
  decltype(&::cublasLtMatrixLayoutCreate) cublasLtMatrixLayoutCreate;
  decltype(&::cublasLtMatrixLayoutDestroy) cublasLtMatrixLayoutDestroy;
  decltype(&::cublasLtMatmulPreferenceCreate) cublasLtMatmulPreferenceCreate;
  decltype(&::cublasLtMatmulPreferenceDestroy) cublasLtMatmulPreferenceDestroy;
  decltype(&::cublasLtMatmulPreferenceSetAttribute) cublasLtMatmulPreferenceSetAttribute;
  decltype(&::cublasLtMatmulAlgoGetHeuristic) cublasLtMatmulAlgoGetHeuristic;
  decltype(&::cublasLtMatmul) cublasLtMatmul;

  template <class F>
  void for_each(F f) {
    f("cublasLtGetVersion", cublasLtGetVersion);
    f("cublasLtCreate", cublasLtCreate);
    f("cublasLtDestroy", cublasLtDestroy);
    f("cublasLtGetStatusString", cublasLtGetStatusString);
    f("cublasLtMatmulDescCreate", cublasLtMatmulDescCreate);
    f("cublasLtMatmulDescDestroy", cublasLtMatmulDescDestroy);
    f("cublasLtMatmulDescSetAttribute", cublasLtMatmulDescSetAttribute);
    f("cublasLtMatrixLayoutCreate", cublasLtMatrixLayoutCreate);
    f("cublasLtMatrixLayoutDestroy", cublasLtMatrixLayoutDestroy);
    f("cublasLtMatmulPreferenceCreate", cublasLtMatmulPreferenceCreate);
    f("cublasLtMatmulPreferenceDestroy", cublasLtMatmulPreferenceDestroy);
    f("cublasLtMatmulPreferenceSetAttribute", cublasLtMatmulPreferenceSetAttribute);
    f("cublasLtMatmulAlgoGetHeuristic", cublasLtMatmulAlgoGetHeuristic);
    f("cublasLtMatmul", cublasLtMatmul);
  }
};

// Each table throws Failure where its library is not found.
class CudaApi {
 public:
  virtual ~CudaApi() = default;
  virtual const CudaRuntime& runtime() const = 0;
  virtual const Nvrtc& nvrtc() const = 0;
  virtual const CublasLt& cublas_lt() const = 0;
};

// The libraries themselves, each loaded when it is first asked for.
const CudaApi& cuda_api();

// A queue on device `index` as `api` sees it, on somebody else's stream or one of its own.
std::unique_ptr<DeviceQueue> make_cuda_queue(const CudaApi& api, int index);
std::unique_ptr<DeviceQueue> make_cuda_queue(const CudaApi& api, int index, cudaStream_t stream);

// Failure naming the call, for anything but success.
void check(const CudaRuntime& runtime, cudaError_t status, std::string_view call);

}  // namespace tessera
