// The fake's runtime library.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/device/fake_image.hpp"
#include "tests/device/fake_tables.hpp"

namespace tessera {
namespace {

using Guard = std::lock_guard<std::recursive_mutex>;

bool is_filler(const std::byte* from, const std::byte* to) {
  return std::all_of(from, to, [](std::byte b) { return b == LaunchArg::filler; });
}

}  // namespace

CudaRuntime FakeRuntime::table() {
  return {.cudaDriverGetVersion = driver_version,
          .cudaGetDeviceCount = device_count,
          .cudaGetDeviceProperties = device_properties,
          .cudaDeviceGetPCIBusId = bus_id,
          .cudaSetDevice = set_device,
          .cudaGetErrorString = error_string,
          .cudaGetLastError = last_error,
          .cudaStreamCreateWithFlags = stream_create,
          .cudaStreamDestroy = stream_destroy,
          .cudaStreamSynchronize = stream_synchronize,
          .cudaMalloc = malloc,
          .cudaFree = free,
          .cudaHostAlloc = host_alloc,
          .cudaHostGetDevicePointer = host_device_pointer,
          .cudaFreeHost = free_host,
          .cudaMemcpyAsync = memcpy,
          .cudaMemcpy2DAsync = memcpy_2d,
          .cudaMemsetAsync = memset,
          .cudaLibraryLoadData = library_load,
          .cudaLibraryGetKernel = library_kernel,
          .cudaLibraryUnload = library_unload,
          .cudaLaunchKernelExC = launch};
}

cudaError_t FakeRuntime::driver_version(int* version) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaDriverGetVersion")) return static_cast<cudaError_t>(status);
  *version = 13000;
  return cudaSuccess;
}

cudaError_t FakeRuntime::device_count(int* count) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaGetDeviceCount")) return static_cast<cudaError_t>(status);
  *count = FakeCuda::n_devices;
  return cudaSuccess;
}

cudaError_t FakeRuntime::device_properties(cudaDeviceProp* properties, int device) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaGetDeviceProperties")) return static_cast<cudaError_t>(status);
  if (device < 0 || device >= FakeCuda::n_devices) return cudaErrorInvalidDevice;
  *properties = {};
  const std::string_view name = device == 0 ? "Fake 90" : "Fake 80";
  name.copy(properties->name, sizeof properties->name - 1);
  properties->major = device == 0 ? 9 : 8;
  properties->totalGlobalMem = size_t{1} << 30;
  properties->multiProcessorCount = 4;
  properties->sharedMemPerBlock = 32 << 10;  // too little for kernels on matrix units, which nothing here has
  return cudaSuccess;
}

cudaError_t FakeRuntime::bus_id(char* text, int length, int device) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaDeviceGetPCIBusId")) return static_cast<cudaError_t>(status);
  std::snprintf(text, static_cast<size_t>(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}

cudaError_t FakeRuntime::set_device(int device) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaSetDevice")) return static_cast<cudaError_t>(status);
  if (device < 0 || device >= FakeCuda::n_devices) return cudaErrorInvalidDevice;
  FakeCuda::current_device = device;
  return cudaSuccess;
}

const char* FakeRuntime::error_string(cudaError_t status) {
  Guard lock(fake().mutex_);
  if (status == cudaErrorInvalidValue) return fake().last_problem_.c_str();
  if (status == cudaErrorIllegalAddress) return "an illegal memory access was encountered";
  return status == cudaErrorMemoryAllocation ? "out of memory" : "another error";
}

cudaError_t FakeRuntime::last_error() {
  Guard lock(fake().mutex_);
  fake().enter("cudaGetLastError");
  return cudaSuccess;
}

cudaError_t FakeRuntime::stream_create(cudaStream_t* stream, unsigned flags) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaStreamCreateWithFlags")) return static_cast<cudaError_t>(status);
  if (flags != cudaStreamNonBlocking)
    return static_cast<cudaError_t>(
        fake().problem("the stream waits for the default one", cudaErrorInvalidValue));
  *stream = fake().new_stream(FakeCuda::current_device);
  return cudaSuccess;
}

cudaError_t FakeRuntime::stream_destroy(cudaStream_t stream) {
  return on_stream("cudaStreamDestroy", stream, [&](FakeCuda::Stream& it) {
    if (!it.work.empty()) fake().problem("there is work on the stream", 0);
    fake().streams_.erase(stream);
    return cudaSuccess;
  });
}

cudaError_t FakeRuntime::stream_synchronize(cudaStream_t stream) {
  return on_stream("cudaStreamSynchronize", stream, [&](FakeCuda::Stream& it) {
    fake().drain(it);
    return static_cast<cudaError_t>(fake().failure_of_work_);
  });
}

template <class Then>
cudaError_t FakeRuntime::on_stream(const char* call, cudaStream_t stream, Then then) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter(call)) return static_cast<cudaError_t>(status);
  FakeCuda::Stream* it = fake().stream_of(stream);
  const auto wrong = [&](const char* why) {
    return static_cast<cudaError_t>(fake().problem(why, cudaErrorInvalidValue));
  };
  if (!it) return wrong("there is no such stream");
  if (it->device != FakeCuda::current_device) return wrong("the stream belongs to another device");
  return then(*it);
}

cudaError_t FakeRuntime::malloc(void** memory, size_t bytes) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaMalloc")) return static_cast<cudaError_t>(status);
  *memory = fake().allocate(bytes, false);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t FakeRuntime::free(void* memory) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaFree")) return static_cast<cudaError_t>(status);
  if (!memory) return cudaSuccess;
  fake().drain_all();  // it waits for the device
  if (fake().holds(memory, 0, false) && fake().release(memory)) return cudaSuccess;
  return static_cast<cudaError_t>(
      fake().problem("this is not the beginning of device memory", cudaErrorInvalidValue));
}

cudaError_t FakeRuntime::host_alloc(void** memory, size_t bytes, unsigned flags) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaHostAlloc")) return static_cast<cudaError_t>(status);
  if (!(flags & cudaHostAllocMapped))
    return static_cast<cudaError_t>(fake().problem("devices do not see it", cudaErrorInvalidValue));
  *memory = fake().allocate(bytes, true);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t FakeRuntime::host_device_pointer(void** there, void* here, unsigned flags) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaHostGetDevicePointer")) return static_cast<cudaError_t>(status);
  auto found = fake().around(here);
  if (flags != 0 || found == fake().allocations_.end() || !found->second.on_host)
    return static_cast<cudaError_t>(
        fake().problem("this is not host memory of CUDA's", cudaErrorInvalidValue));
  *there = here;
  return cudaSuccess;
}

cudaError_t FakeRuntime::free_host(void* memory) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaFreeHost")) return static_cast<cudaError_t>(status);
  fake().drain_all();
  auto found = fake().around(memory);
  if (found != fake().allocations_.end() && found->second.on_host && fake().release(memory))
    return cudaSuccess;
  return static_cast<cudaError_t>(
      fake().problem("this is not the beginning of host memory", cudaErrorInvalidValue));
}

std::string FakeRuntime::why_not_copied(const void* to, const void* from, size_t to_bytes, size_t from_bytes,
                                        cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (to_device && !fake().holds(to, to_bytes, false)) return "the target is not all device memory";
  if (from_device && !fake().holds(from, from_bytes, false)) return "the source is not all device memory";
  const auto* t = static_cast<const std::byte*>(to);
  const auto* f = static_cast<const std::byte*>(from);
  if (t == f) return "source and target are the same";
  return {};
}

cudaError_t FakeRuntime::memcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                cudaStream_t stream) {
  return on_stream("cudaMemcpyAsync", stream, [&](FakeCuda::Stream& it) {
    if (const std::string why = why_not_copied(to, from, bytes, bytes, kind); !why.empty())
      return static_cast<cudaError_t>(fake().problem(why, cudaErrorInvalidValue));
    it.work.emplace_back([=] { std::memmove(to, from, bytes); });
    return cudaSuccess;
  });
}

cudaError_t FakeRuntime::memcpy_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                                   size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return on_stream("cudaMemcpy2DAsync", stream, [&](FakeCuda::Stream& it) {
    const auto bytes = [&](size_t pitch) { return height == 0 ? 0 : (height - 1) * pitch + width; };
    std::string why = why_not_copied(to, from, bytes(to_pitch), bytes(from_pitch), kind);
    if (to_pitch < width || from_pitch < width) why = "a row is wider than its pitch";
    if (!why.empty()) return static_cast<cudaError_t>(fake().problem(why, cudaErrorInvalidValue));
    it.work.emplace_back([=] {
      for (size_t row = 0; row < height; ++row)
        std::memmove(static_cast<std::byte*>(to) + row * to_pitch,
                     static_cast<const std::byte*>(from) + row * from_pitch, width);
    });
    return cudaSuccess;
  });
}

cudaError_t FakeRuntime::memset(void* to, int value, size_t bytes, cudaStream_t stream) {
  return on_stream("cudaMemsetAsync", stream, [&](FakeCuda::Stream& it) {
    if (!fake().holds(to, bytes, false))
      return static_cast<cudaError_t>(
          fake().problem("the target is not all device memory", cudaErrorInvalidValue));
    it.work.emplace_back([=] { std::memset(to, value, bytes); });
    return cudaSuccess;
  });
}

cudaError_t FakeRuntime::library_load(cudaLibrary_t* library, const void* code, cudaJitOption*, void**,
                                      unsigned, cudaLibraryOption*, void**, unsigned) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaLibraryLoadData")) return static_cast<cudaError_t>(status);
  FakeImage image;
  if (!FakeImage::read(code, image))
    return static_cast<cudaError_t>(fake().problem("this is no machine code", cudaErrorInvalidValue));
  auto made = std::make_unique<FakeCuda::Library>(
      FakeCuda::Library{std::move(image.source), std::move(image.options), std::move(image.cubin)});
  *library = reinterpret_cast<cudaLibrary_t>(made.get());
  fake().libraries_[made.get()] = std::move(made);
  return cudaSuccess;
}

cudaError_t FakeRuntime::library_kernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaLibraryGetKernel")) return static_cast<cudaError_t>(status);
  auto found = fake().libraries_.find(library);
  if (found == fake().libraries_.end())
    return static_cast<cudaError_t>(fake().problem("there is no such library", cudaErrorInvalidValue));
  const FakeCuda::Library& from = *found->second;
  const std::string section = std::string(".text.") + name;
  const bool compiled = from.cubin.empty() || std::search(from.cubin.begin(), from.cubin.end(),
                                                          section.begin(), section.end()) != from.cubin.end();
  const SvmDevice::Kernel* code =
      fake().device_.kernel(from.source, "-cl-std=CL1.2 -cl-kernel-arg-info" + from.options, name);
  if (!compiled || !code) return cudaErrorSymbolNotFound;
  auto made = std::make_unique<FakeCuda::Kernel>(FakeCuda::Kernel{code, library});
  *kernel = reinterpret_cast<cudaKernel_t>(made.get());
  fake().kernels_[made.get()] = std::move(made);
  return cudaSuccess;
}

cudaError_t FakeRuntime::library_unload(cudaLibrary_t library) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("cudaLibraryUnload")) return static_cast<cudaError_t>(status);
  if (fake().libraries_.erase(library) == 0)
    return static_cast<cudaError_t>(fake().problem("there is no such library", cudaErrorInvalidValue));
  std::erase_if(fake().kernels_, [&](const auto& kernel) { return kernel.second->library == library; });
  return cudaSuccess;
}

std::string FakeRuntime::why_not_launched(const cudaLaunchConfig_t& config, const SvmDevice::Kernel& kernel,
                                          void** arguments) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535)
    return fmt::format("a grid of {} x {} x {}", grid.x, grid.y, grid.z);
  const uint64_t items = uint64_t{block.x} * block.y * block.z;
  if (items == 0 || items > 1024) return fmt::format("groups of {} items", items);
  size_t n = 0;
  while (arguments[n]) ++n;
  if (n != kernel.parameters.size())
    return fmt::format("{} takes {} arguments, not {}", kernel.name, kernel.parameters.size(), n);
  for (size_t k = 0; k < n; ++k) {
    const SvmDevice::Parameter& parameter = kernel.parameters[k];
    const auto* value = static_cast<const std::byte*>(arguments[k]);
    const bool eight = !is_filler(value + 4, value + 8);
    if (eight != (parameter.bytes == 8))
      return fmt::format("{}: argument {} ({}) has another size", kernel.name, k, parameter.name);
    void* address = nullptr;
    std::memcpy(static_cast<void*>(&address), value, sizeof address);
    if (parameter.pointer && !fake().holds(address, 0))
      return fmt::format("{}: argument {} ({}) is no device memory", kernel.name, k, parameter.name);
  }
  return {};
}

cudaError_t FakeRuntime::launch(const cudaLaunchConfig_t* config, const void* handle, void** arguments) {
  return on_stream("cudaLaunchKernelExC", config->stream, [&](FakeCuda::Stream& stream) {
    auto found = fake().kernels_.find(const_cast<void*>(handle));
    if (found == fake().kernels_.end())
      return static_cast<cudaError_t>(fake().problem("there is no such kernel", cudaErrorInvalidValue));
    const SvmDevice::Kernel* kernel = found->second->code;
    if (const std::string why = why_not_launched(*config, *kernel, arguments); !why.empty())
      return static_cast<cudaError_t>(fake().problem(why, cudaErrorInvalidValue));
    std::vector<SvmDevice::Argument> values(kernel->parameters.size());
    for (size_t k = 0; k < values.size(); ++k) std::memcpy(values[k].data(), arguments[k], 8);
    stream.work.emplace_back([kernel, values, grid = config->gridDim, block = config->blockDim] {
      const size_t groups[3] = {grid.x, grid.y, grid.z}, items[3] = {block.x, block.y, block.z};
      if (!fake().device_.run(*kernel, groups, items, values)) {
        fake().problem(kernel->name + " does not run", 0);
        fake().failure_of_work_ = cudaErrorIllegalAddress;
      }
      for (size_t k = 0; k < values.size(); ++k) {
        void* address = nullptr;
        std::memcpy(static_cast<void*>(&address), values[k].data(), sizeof address);
        if (kernel->parameters[k].pointer && !fake().intact(address))
          fake().problem(fmt::format("{} writes beside argument {}", kernel->name, k), 0);
      }
    });
    return cudaSuccess;
  });
}

}  // namespace tessera
