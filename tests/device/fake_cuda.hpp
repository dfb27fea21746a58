// CUDA on host memory: records and checks every call, and does what it is told when a stream is waited for.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/device/cuda_api.hpp"
#include "tests/device/svm_device.hpp"

namespace tessera {

// Two devices, cuda:0 of sm_90 and cuda:1 of sm_80, whose kernels an OpenCL device runs from the same source.
// NVRTC is the toolkit's own where it is found; its machine code is only checked to be there. A misuse is
// kept in problems(), and the call fails with its text. One exists at a time; calls may come from any thread.
class FakeCuda final : public CudaApi {
 public:
  static constexpr int n_devices = 2;

  explicit FakeCuda(int opencl_index = 0);
  ~FakeCuda() override;
  FakeCuda(const FakeCuda&) = delete;
  FakeCuda& operator=(const FakeCuda&) = delete;
  const std::string& why_not() const { return device_.why_not(); }  // empty: it can be used

  const CudaRuntime& runtime() const override { return runtime_; }
  const Nvrtc& nvrtc() const override { return nvrtc_; }
  const CublasLt& cublas_lt() const override { return cublas_lt_; }

  std::vector<std::string> calls() const;  // names, in their order
  size_t count(std::string_view call) const;
  std::vector<std::string> problems() const;
  // What was not given back: "2 streams, 1 libraries".
  std::string live() const;
  size_t pending() const;
  void fail_next(std::string_view call, int status);           // of whatever kind the call returns
  uint64_t last_algorithm() const { return last_algorithm_; }  // of a product: its number among the proposed
  void forget();                                               // calls, problems and failures to come
  void repair(void* memory);                                   // what was written beside an allocation

  cudaStream_t new_stream(int device);  // somebody else's
  void synchronize(cudaStream_t stream);

 private:
  friend struct FakeRuntime;  // the functions behind the tables, one file each
  friend struct FakeNvrtc;
  friend struct FakeCublasLt;

  struct Allocation {
    void* raw;
    size_t bytes;
    bool on_host;
    int device;
  };
  struct Stream {
    int device;
    std::deque<std::function<void()>> work;
  };
  struct Program {
    std::string source, options;  // the definitions among them
    nvrtcProgram real = nullptr;
    std::string image;
  };
  struct Library {
    std::string source, options;
    std::vector<char> cubin;  // empty where there is no NVRTC
  };
  struct Kernel {
    const SvmDevice::Kernel* code;
    void* library;
  };
  struct Object {  // of cuBLASLt
    enum class Kind : uint8_t { handle, operation, layout, preference } kind;
    std::map<int, uint64_t> attributes;
    cudaDataType_t type = CUDA_R_32F;
    uint64_t rows = 0, cols = 0;
    int64_t distance = 0;
  };

  // Every call begins with this: its name is kept, and what fail_next asked for comes back.
  int enter(const char* call);
  int problem(const std::string& text, int status);  // keeps the text, returns the status

  void* allocate(size_t bytes, bool on_host);
  bool release(void* memory);
  // Whether [p, p + bytes) lies in one allocation, and one that this thread's device may use.
  bool holds(const void* p, size_t bytes, bool or_host = true) const;
  bool intact(const void* p) const;  // nothing was written beside the allocation around p
  std::map<uintptr_t, Allocation>::const_iterator around(const void* p) const;
  Stream* stream_of(cudaStream_t stream);
  void drain(Stream& stream);
  void drain_all();

  static FakeCuda* active;
  static thread_local int current_device;

  mutable std::recursive_mutex mutex_;
  CudaRuntime runtime_{};
  Nvrtc nvrtc_{};
  CublasLt cublas_lt_{};
  SvmDevice device_;
  const Nvrtc* real_nvrtc_ = nullptr;
  std::vector<std::string> calls_, problems_;
  std::map<std::string, int, std::less<>> failing_;
  std::string last_problem_;
  std::map<uintptr_t, Allocation> allocations_;
  std::map<void*, std::unique_ptr<Stream>> streams_;
  std::map<void*, std::unique_ptr<Program>> programs_;
  std::map<void*, std::unique_ptr<Library>> libraries_;
  std::map<void*, std::unique_ptr<Kernel>> kernels_;
  std::map<void*, std::unique_ptr<Object>> objects_;
  uint64_t n_algorithms_ = 0, last_algorithm_ = 0;
  int failure_of_work_ = cudaSuccess;
};

}  // namespace tessera
