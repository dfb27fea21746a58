// An OpenCL device whose memory the host shares, so that plain addresses work as they do in CUDA.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#define CL_TARGET_OPENCL_VERSION 200
#include <CL/cl.h>

#include <array>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace tessera {

class SvmDevice {
 public:
  struct Parameter {
    bool pointer;
    size_t bytes;
    std::string name;
  };
  struct Kernel {
    cl_kernel handle;
    std::string name;
    std::vector<Parameter> parameters;
  };
  using Argument = std::array<std::byte, 8>;

  // The device number `index` of all platforms; why_not() says what is missing, if something is.
  explicit SvmDevice(int index);
  ~SvmDevice();
  SvmDevice(const SvmDevice&) = delete;
  SvmDevice& operator=(const SvmDevice&) = delete;
  const std::string& why_not() const { return why_not_; }

  void* allocate(size_t bytes);
  void release(void* memory);

  // Null where the source does not compile or has no such kernel.
  const Kernel* kernel(const std::string& source, const std::string& options, const std::string& name);
  // Runs to its end; false where the device refuses.
  bool run(const Kernel& kernel, const size_t (&groups)[3], const size_t (&items)[3],
           std::span<const Argument> arguments);

 private:
  cl_program program(const std::string& source, const std::string& options);

  std::string why_not_;
  cl_device_id device_ = nullptr;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
  std::map<std::string, cl_program> programs_;
  std::map<std::string, Kernel> kernels_;
};

}  // namespace tessera
