// The fake's functions, a table per library.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/device/fake_cuda.hpp"

namespace tessera {

struct FakeRuntime {
  static CudaRuntime table();

  static cudaError_t driver_version(int* version);
  static cudaError_t device_count(int* count);
  static cudaError_t device_properties(cudaDeviceProp* properties, int device);
  static cudaError_t bus_id(char* text, int length, int device);
  static cudaError_t set_device(int device);
  static const char* error_string(cudaError_t status);
  static cudaError_t last_error();
  static cudaError_t stream_create(cudaStream_t* stream, unsigned flags);
  static cudaError_t stream_destroy(cudaStream_t stream);
  static cudaError_t stream_synchronize(cudaStream_t stream);
  static cudaError_t malloc(void** memory, size_t bytes);
  static cudaError_t free(void* memory);
  static cudaError_t host_alloc(void** memory, size_t bytes, unsigned flags);
  static cudaError_t host_device_pointer(void** there, void* here, unsigned flags);
  static cudaError_t free_host(void* memory);
  static cudaError_t memcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
  static cudaError_t memcpy_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                               size_t height, cudaMemcpyKind kind, cudaStream_t stream);
  static cudaError_t memset(void* to, int value, size_t bytes, cudaStream_t stream);
  static cudaError_t library_load(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                  cudaLibraryOption*, void**, unsigned);
  static cudaError_t library_kernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name);
  static cudaError_t library_unload(cudaLibrary_t library);
  static cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel, void** arguments);

 private:
  static FakeCuda& fake() { return *FakeCuda::active; }
  template <class Then>
  static cudaError_t on_stream(const char* call, cudaStream_t stream, Then then);
  static std::string why_not_copied(const void* to, const void* from, size_t to_bytes, size_t from_bytes,
                                    cudaMemcpyKind kind);
  static std::string why_not_launched(const cudaLaunchConfig_t& config, const SvmDevice::Kernel& kernel,
                                      void** arguments);
};

struct FakeNvrtc {
  static Nvrtc table();

  static nvrtcResult version(int* major, int* minor);
  static const char* error_string(nvrtcResult status);
  static nvrtcResult create(nvrtcProgram* program, const char* source, const char* name, int n_headers,
                            const char* const* headers, const char* const* names);
  static nvrtcResult compile(nvrtcProgram program, int n_options, const char* const* options);
  static nvrtcResult log_size(nvrtcProgram program, size_t* size);
  static nvrtcResult log(nvrtcProgram program, char* text);
  static nvrtcResult cubin_size(nvrtcProgram program, size_t* size);
  static nvrtcResult cubin(nvrtcProgram program, char* code);
  static nvrtcResult destroy(nvrtcProgram* program);

 private:
  static FakeCuda& fake() { return *FakeCuda::active; }
  static FakeCuda::Program* known(nvrtcProgram program);
};

struct FakeCublasLt {
  static CublasLt table();

  static size_t version();
  static cublasStatus_t create(cublasLtHandle_t* handle);
  static cublasStatus_t destroy(cublasLtHandle_t handle);
  static const char* status_string(cublasStatus_t status);
  static cublasStatus_t operation_create(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                         cudaDataType_t scale);
  static cublasStatus_t operation_destroy(cublasLtMatmulDesc_t operation);
  static cublasStatus_t operation_set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t what,
                                      const void* value, size_t bytes);
  static cublasStatus_t layout_create(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                      uint64_t cols, int64_t distance);
  static cublasStatus_t layout_destroy(cublasLtMatrixLayout_t layout);
  static cublasStatus_t preference_create(cublasLtMatmulPreference_t* preference);
  static cublasStatus_t preference_destroy(cublasLtMatmulPreference_t preference);
  static cublasStatus_t preference_set(cublasLtMatmulPreference_t preference,
                                       cublasLtMatmulPreferenceAttributes_t what, const void* value,
                                       size_t bytes);
  static cublasStatus_t heuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                  cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                  cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                  cublasLtMatmulPreference_t preference, int wanted,
                                  cublasLtMatmulHeuristicResult_t* results, int* found);
  static cublasStatus_t matmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha,
                               const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                               cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                               cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                               const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes,
                               cudaStream_t stream);

 private:
  using Object = FakeCuda::Object;
  struct Product;
  static FakeCuda& fake() { return *FakeCuda::active; }
  static void* add(Object::Kind kind);
  static Object* known(const void* object, Object::Kind kind);
  static cublasStatus_t remove(void* object, Object::Kind kind);
  static std::string why_not_multiplied(const Object& operation, const Object& a, const Object& b,
                                        const Object& c, const Object& d);
};

}  // namespace tessera
