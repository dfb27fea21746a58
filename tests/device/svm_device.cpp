// Device sources on shared memory, by OpenCL.
// SPDX-License-Identifier: Apache-2.0
#include "tests/device/svm_device.hpp"

#include <cstring>
#include <string_view>

namespace tessera {
namespace {

std::string text_of(cl_kernel kernel, cl_uint k, cl_kernel_arg_info what) {
  char text[128] = "";
  clGetKernelArgInfo(kernel, k, what, sizeof text - 1, text, nullptr);
  return text;
}

size_t size_of_type(std::string_view type) {
  if (type == "long" || type == "ulong") return 8;
  if (type == "int" || type == "uint" || type == "float") return 4;
  return 0;  // no other numbers are passed to kernels
}

SvmDevice::Parameter parameter(cl_kernel kernel, cl_uint k) {
  cl_kernel_arg_address_qualifier where = CL_KERNEL_ARG_ADDRESS_PRIVATE;
  clGetKernelArgInfo(kernel, k, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof where, &where, nullptr);
  const bool pointer = where != CL_KERNEL_ARG_ADDRESS_PRIVATE;
  return {pointer, pointer ? sizeof(void*) : size_of_type(text_of(kernel, k, CL_KERNEL_ARG_TYPE_NAME)),
          text_of(kernel, k, CL_KERNEL_ARG_NAME)};
}

}  // namespace

SvmDevice::SvmDevice(int index) {
  cl_platform_id platforms[16];
  cl_uint n_platforms = 0;
  if (clGetPlatformIDs(16, platforms, &n_platforms) != CL_SUCCESS) n_platforms = 0;
  for (cl_uint p = 0; p < n_platforms && !device_; ++p) {
    cl_device_id devices[16];
    cl_uint n = 0;
    if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 16, devices, &n) != CL_SUCCESS) continue;
    if (index < static_cast<int>(n)) device_ = devices[index];
    index -= static_cast<int>(n);
  }
  if (!device_) {
    why_not_ = "no OpenCL device to run CUDA's kernels on";
    return;
  }
  cl_device_svm_capabilities svm = 0;
  clGetDeviceInfo(device_, CL_DEVICE_SVM_CAPABILITIES, sizeof svm, &svm, nullptr);
  cl_int status = CL_SUCCESS;
  if (svm & CL_DEVICE_SVM_FINE_GRAIN_BUFFER)
    context_ = clCreateContext(nullptr, 1, &device_, nullptr, nullptr, &status);
  if (context_) queue_ = clCreateCommandQueueWithProperties(context_, device_, nullptr, &status);
  if (!queue_) why_not_ = "the OpenCL device does not share memory with the host";
}

SvmDevice::~SvmDevice() {
  for (auto& [_, kernel] : kernels_) clReleaseKernel(kernel.handle);
  for (auto& [_, program] : programs_) clReleaseProgram(program);
  if (queue_) clReleaseCommandQueue(queue_);
  if (context_) clReleaseContext(context_);
}

void* SvmDevice::allocate(size_t bytes) {
  return clSVMAlloc(context_, CL_MEM_READ_WRITE | CL_MEM_SVM_FINE_GRAIN_BUFFER, bytes, 0);
}
void SvmDevice::release(void* memory) { clSVMFree(context_, memory); }

cl_program SvmDevice::program(const std::string& source, const std::string& options) {
  const std::string key = options + "\n" + source;
  if (auto found = programs_.find(key); found != programs_.end()) return found->second;
  const char* text = source.c_str();
  cl_int status = CL_SUCCESS;
  cl_program made = clCreateProgramWithSource(context_, 1, &text, nullptr, &status);
  if (clBuildProgram(made, 1, &device_, options.c_str(), nullptr, nullptr) != CL_SUCCESS) {
    clReleaseProgram(made);
    return nullptr;
  }
  return programs_.emplace(key, made).first->second;
}

const SvmDevice::Kernel* SvmDevice::kernel(const std::string& source, const std::string& options,
                                           const std::string& name) {
  const std::string key = name + options + "\n" + source;
  if (auto found = kernels_.find(key); found != kernels_.end()) return &found->second;
  cl_program from = program(source, options);
  cl_int status = CL_SUCCESS;
  cl_kernel handle = from ? clCreateKernel(from, name.c_str(), &status) : nullptr;
  if (!handle) return nullptr;
  Kernel made{handle, name, {}};
  cl_uint n = 0;
  clGetKernelInfo(handle, CL_KERNEL_NUM_ARGS, sizeof n, &n, nullptr);
  for (cl_uint k = 0; k < n; ++k) {
    made.parameters.push_back(parameter(handle, k));
    if (made.parameters.back().bytes == 0) return nullptr;
  }
  return &kernels_.emplace(key, std::move(made)).first->second;
}

bool SvmDevice::run(const Kernel& kernel, const size_t (&groups)[3], const size_t (&items)[3],
                    std::span<const Argument> arguments) {
  for (cl_uint k = 0; k < arguments.size(); ++k) {
    const Parameter& parameter = kernel.parameters[k];
    void* address = nullptr;
    std::memcpy(static_cast<void*>(&address), arguments[k].data(), sizeof address);
    const cl_int status = parameter.pointer
                              ? clSetKernelArgSVMPointer(kernel.handle, k, address)
                              : clSetKernelArg(kernel.handle, k, parameter.bytes, arguments[k].data());
    if (status != CL_SUCCESS) return false;
  }
  const size_t global[3] = {groups[0] * items[0], groups[1] * items[1], groups[2] * items[2]};
  return clEnqueueNDRangeKernel(queue_, kernel.handle, 3, nullptr, global, items, 0, nullptr, nullptr) ==
             CL_SUCCESS &&
         clFinish(queue_) == CL_SUCCESS;
}

}  // namespace tessera
