// The OpenCL queue: kernels are compiled by the driver when first launched, and a task's end waits for its
// work.
// SPDX-License-Identifier: Apache-2.0
#define CL_TARGET_OPENCL_VERSION 120
#include "runtime/device/opencl.hpp"

#include <CL/cl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>

#include "runtime/device/cache.hpp"
#include "runtime/device/source.hpp"

namespace tessera {
namespace {

void check(cl_int status, const char* what) {
  if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_RESOURCES)
    throw failure("OpenCL: {}: the device is out of memory (error {})", what, status);
  if (status != CL_SUCCESS) throw failure("OpenCL: {} fails with error {}", what, status);
}

using Clock = std::chrono::steady_clock;

// For tests: how many times longer than it takes a device pretends to take.
double slowness() {
  static const double times = [] {
    const char* text = std::getenv("TESSERA_TEST_SLOW_DEVICE");
    return text ? std::max(1.0, std::atof(text)) : 1.0;
  }();
  return times;
}

std::string info_text(cl_device_id device, cl_device_info what) {
  size_t size = 0;
  if (clGetDeviceInfo(device, what, 0, nullptr, &size) != CL_SUCCESS || size == 0) return {};
  std::string text(size, '\0');
  clGetDeviceInfo(device, what, size, text.data(), nullptr);
  text.resize(size - 1);
  return text;
}

template <class V>
V info_value(cl_device_id device, cl_device_info what) {
  V value{};
  // NOLINTNEXTLINE(bugprone-sizeof-expression): V may be a pointer
  clGetDeviceInfo(device, what, sizeof(V), static_cast<void*>(&value), nullptr);
  return value;
}

std::vector<cl_device_id> all_devices() {
  std::vector<cl_device_id> all;
  cl_uint n_platforms = 0;
  if (clGetPlatformIDs(0, nullptr, &n_platforms) != CL_SUCCESS) return all;  // no driver
  std::vector<cl_platform_id> platforms(n_platforms);
  clGetPlatformIDs(n_platforms, platforms.data(), nullptr);
  for (cl_platform_id platform : platforms) {
    cl_uint n = 0;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &n) != CL_SUCCESS) continue;
    const size_t before = all.size();
    all.resize(before + n);
    clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, n, all.data() + before, nullptr);
  }
  return all;
}

// By the extension of all vendors, else by NVIDIA's.
std::string pci_address(cl_device_id device) {
  constexpr cl_device_info bus_info = 0x410F, nv_bus = 0x4008, nv_slot = 0x4009, nv_domain = 0x400A;
  cl_uint at[4] = {};  // domain, bus, device, function
  if (clGetDeviceInfo(device, bus_info, sizeof at, at, nullptr) != CL_SUCCESS) {
    cl_uint slot = 0;
    if (clGetDeviceInfo(device, nv_bus, sizeof slot, &at[1], nullptr) != CL_SUCCESS ||
        clGetDeviceInfo(device, nv_slot, sizeof slot, &slot, nullptr) != CL_SUCCESS)
      return {};
    clGetDeviceInfo(device, nv_domain, sizeof slot, &at[0], nullptr);
    at[2] = slot >> 3, at[3] = slot & 7;
  }
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", at[0], at[1], at[2], at[3]);
}

OpenclDevice describe(cl_device_id device) {
  const auto platform = info_value<cl_platform_id>(device, CL_DEVICE_PLATFORM);
  char name[256] = "";
  clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name - 1, name, nullptr);
  return {.name = info_text(device, CL_DEVICE_NAME),
          .platform = name,
          .driver = info_text(device, CL_DRIVER_VERSION),
          .memory_bytes = static_cast<int64_t>(info_value<cl_ulong>(device, CL_DEVICE_GLOBAL_MEM_SIZE)),
          .local_bytes = static_cast<int64_t>(info_value<cl_ulong>(device, CL_DEVICE_LOCAL_MEM_SIZE)),
          .compute_units = static_cast<int>(info_value<cl_uint>(device, CL_DEVICE_MAX_COMPUTE_UNITS)),
          .is_cpu = (info_value<cl_device_type>(device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU) != 0,
          .bus_id = pci_address(device)};
}

class OpenclQueue final : public DeviceQueue {
 public:
  OpenclQueue(cl_context context, cl_device_id device, cl_command_queue queue)
      : context_(context), device_(device), queue_(queue), described_(describe(device)) {
    clRetainContext(context_);
    clRetainCommandQueue(queue_);
  }
  ~OpenclQueue() override {
    for (auto& [_, kernel] : kernels_) clReleaseKernel(kernel);
    for (auto& [_, program] : programs_) clReleaseProgram(program);
    for (const Chunk& chunk : scratch_) clReleaseMemObject(chunk.memory);
    for (const Fault& fault : faults_) clReleaseMemObject(fault.memory);
    clReleaseCommandQueue(queue_);
    clReleaseContext(context_);
  }

  DeviceApi api() const override { return DeviceApi::opencl; }
  std::string device_name() const override { return described_.name; }
  std::string kind() const override { return described_.kind(); }
  std::string numerics() const override {
    return fmt::format("opencl {}, {} {}", described_.name, described_.platform, described_.driver);
  }
  DeviceTraits traits() const override {
    return {described_.is_cpu, described_.compute_units, described_.local_bytes};
  }
  void* native() const override { return queue_; }

  void launch_kernel(const DeviceKernel& what, const Grid& wanted, std::span<const LaunchArg> args) override {
    const Grid grid = described_.is_cpu ? in_runs(wanted, described_.compute_units) : wanted;
    cl_kernel kernel = compiled(what);
    for (size_t k = 0; k < args.size(); ++k) {
      const bool memory = args[k].kind == LaunchArg::Kind::memory;
      if (clSetKernelArg(kernel, static_cast<cl_uint>(k), memory ? sizeof(cl_mem) : args[k].bytes,
                         args[k].value.data()) != CL_SUCCESS)
        throw failure("OpenCL: {} takes no such argument {}", what.name, k);
    }
    size_t local[3] = {static_cast<size_t>(grid.items[0]), static_cast<size_t>(grid.items[1]), 1};
    size_t global[3];
    for (size_t d = 0; d < 3; ++d) global[d] = static_cast<size_t>(grid.groups[d]) * local[d];
    if (slowness() > 1 && !busy_since_) busy_since_ = Clock::now();
    const cl_int status =
        clEnqueueNDRangeKernel(queue_, kernel, 3, nullptr, global, local, 0, nullptr, nullptr);
    if (status != CL_SUCCESS)
      throw failure("OpenCL: {} does not start on {} (error {})", what.name, described_.name, status);
  }

  void copy(const Region& to, const Region& from, int64_t rows, int64_t row_bytes) override {
    if (rows == 0 || row_bytes == 0) return;
    const auto as_size = [](int64_t x) { return static_cast<size_t>(x); };
    if (rows == 1 || (to.pitch == row_bytes && from.pitch == row_bytes))
      return check(clEnqueueCopyBuffer(queue_, memory(from.memory), memory(to.memory), as_size(from.offset),
                                       as_size(to.offset), as_size(rows * row_bytes), 0, nullptr, nullptr),
                   "a copy");
    const size_t from_at[3] = {as_size(from.offset % from.pitch), as_size(from.offset / from.pitch), 0};
    const size_t to_at[3] = {as_size(to.offset % to.pitch), as_size(to.offset / to.pitch), 0};
    const size_t size[3] = {as_size(row_bytes), as_size(rows), 1};
    check(clEnqueueCopyBufferRect(queue_, memory(from.memory), memory(to.memory), from_at, to_at, size,
                                  as_size(from.pitch), 0, as_size(to.pitch), 0, 0, nullptr, nullptr),
          "a copy");
  }

  void fill(void* to, int64_t bytes, uint8_t value) override {
    if (bytes == 0) return;
    check(clEnqueueFillBuffer(queue_, memory(to), &value, 1, 0, static_cast<size_t>(bytes), 0, nullptr,
                              nullptr),
          "a fill");
  }

  void* allocate(size_t bytes) override {
    cl_int status = CL_SUCCESS;
    cl_mem made = clCreateBuffer(context_, CL_MEM_READ_WRITE, std::max<size_t>(bytes, 4), nullptr, &status);
    check(status, "an allocation");
    return made;
  }
  void deallocate(void* what) override { clReleaseMemObject(memory(what)); }

  // OpenCL promises only that mapping such a buffer shows what is in it. Drivers of CPUs have nowhere else to
  // keep it; whether that is so is tried.
  bool in_host_memory() override {
    if (!in_host_memory_) in_host_memory_ = described_.is_cpu && sees_host_memory();
    return *in_host_memory_;
  }
  void* lend(void* host, size_t bytes) override {
    cl_int status = CL_SUCCESS;
    cl_mem made = clCreateBuffer(context_, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes, host, &status);
    check(status, "lending memory");
    return made;
  }
  void read(void* host, void* from, size_t bytes) override {
    check(clEnqueueReadBuffer(queue_, memory(from), CL_TRUE, 0, bytes, host, 0, nullptr, nullptr), "a copy");
  }
  void write(void* to, const void* host, size_t bytes) override {
    check(clEnqueueWriteBuffer(queue_, memory(to), CL_TRUE, 0, bytes, host, 0, nullptr, nullptr), "a copy");
  }
  void finish() override {
    check(clFinish(queue_), "the end of a task");
    if (!busy_since_) return;
    std::this_thread::sleep_for((Clock::now() - *busy_since_) * (slowness() - 1));
    busy_since_.reset();
  }

  void* scratch_bytes(size_t bytes) override {
    Chunk* best = nullptr;
    for (Chunk& chunk : scratch_)
      if (!chunk.used && chunk.bytes >= bytes && (!best || chunk.bytes < best->bytes)) best = &chunk;
    if (!best) best = &scratch_.emplace_back(Chunk{memory(allocate(bytes)), bytes, false});
    best->used = true;
    return best->memory;
  }

  void* fault(std::string what) override {
    if (n_faults_ == faults_.size()) {
      faults_.push_back({memory(allocate(2 * sizeof(cl_int))), {}});
      fill(faults_.back().memory, 2 * sizeof(cl_int), 0);
    }
    Fault& slot = faults_[n_faults_++];
    slot.what = std::move(what);
    return slot.memory;
  }

  bool library_gemm(const Gemm&, const GemmOperands&) override { return false; }

  void end_task() override {
    for (Chunk& chunk : scratch_) chunk.used = false;
    const size_t n = std::exchange(n_faults_, 0);
    finish();
    for (size_t k = 0; k < n; ++k) {
      cl_int found[2];
      read(found, faults_[k].memory, sizeof found);
      if (found[0] == 0) continue;
      fill(faults_[k].memory, sizeof found, 0);
      finish();
      throw failure("{}", fault_text(faults_[k].what, found[0] - 1, found[1]));
    }
  }

 private:
  struct Chunk {
    cl_mem memory;
    size_t bytes;
    bool used;
  };
  struct Fault {
    cl_mem memory;
    std::string what;
  };

  static cl_mem memory(void* p) { return static_cast<cl_mem>(p); }

  bool sees_host_memory() {
    struct alignas(4096) Page {
      std::array<uint8_t, 4096> bytes{};
    };
    const auto page = std::make_unique<std::array<Page, 2>>();
    auto &one = (*page)[0].bytes, &other = (*page)[1].bytes;
    void *lent_one = lend(one.data(), sizeof one), *lent_other = lend(other.data(), sizeof other);
    fill(lent_one, sizeof one, 1);
    finish();
    const bool written = one.front() == 1 && one.back() == 1;
    one.fill(2);
    copy({lent_other, 0, 0}, {lent_one, 0, 0}, 1, sizeof one);
    finish();
    deallocate(lent_one);
    deallocate(lent_other);
    return written && other.front() == 2 && other.back() == 2;
  }

  cl_kernel compiled(const DeviceKernel& what) {
    if (auto found = kernels_.find(what); found != kernels_.end()) return found->second;
    cl_program program = program_of(what);
    cl_int status = CL_SUCCESS;
    cl_kernel kernel = clCreateKernel(program, std::string(what.name).c_str(), &status);
    if (status != CL_SUCCESS)
      throw CompileFailure(fmt::format("{}: its device source has no kernel {}", what.op, what.name));
    kernels_.emplace(what, kernel);
    return kernel;
  }

  // One per source and options, for all its kernels.
  cl_program program_of(const DeviceKernel& what) {
    const std::string options =
        std::string("-cl-std=CL1.2") + (described_.is_cpu ? " -DON_CPU" : "") + what.options();
    const std::string name = std::string(what.op) + options;
    if (auto found = programs_.find(name); found != programs_.end()) return found->second;
    const std::string source = device_source(what.op);
    const std::string key =
        KernelCache::key(source, options, described_.platform + described_.name + described_.driver);
    cl_program program = from_cache(key, options);
    if (!program) {
      program = compile(what, source, options);
      keep(key, program);
    }
    return programs_.emplace(name, program).first->second;
  }

  cl_program from_cache(const std::string& key, const std::string& options) {
    const auto binary = KernelCache::load(key);
    if (!binary) return nullptr;
    const size_t size = binary->size();
    const auto* bytes = reinterpret_cast<const unsigned char*>(binary->data());
    cl_int status = CL_SUCCESS, each = CL_SUCCESS;
    cl_program program = clCreateProgramWithBinary(context_, 1, &device_, &size, &bytes, &each, &status);
    if (status != CL_SUCCESS) return nullptr;
    if (clBuildProgram(program, 1, &device_, options.c_str(), nullptr, nullptr) == CL_SUCCESS) return program;
    clReleaseProgram(program);
    return nullptr;
  }

  cl_program compile(const DeviceKernel& what, const std::string& source, const std::string& options) {
    const char* text = source.c_str();
    cl_int status = CL_SUCCESS;
    cl_program program = clCreateProgramWithSource(context_, 1, &text, nullptr, &status);
    check(status, "a program");
    if (clBuildProgram(program, 1, &device_, options.c_str(), nullptr, nullptr) == CL_SUCCESS) return program;
    size_t size = 0;
    clGetProgramBuildInfo(program, device_, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size);
    std::string log(size, '\0');
    clGetProgramBuildInfo(program, device_, CL_PROGRAM_BUILD_LOG, size, log.data(), nullptr);
    clReleaseProgram(program);
    throw CompileFailure(fmt::format("{}: kernel {} does not compile for {}: {}", what.op, what.name,
                                     described_.name, error_line(log)));
  }

  void keep(const std::string& key, cl_program program) {
    size_t size = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr) != CL_SUCCESS ||
        size == 0)
      return;
    std::vector<char> binary(size);
    auto* bytes = reinterpret_cast<unsigned char*>(binary.data());
    if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(unsigned char*), static_cast<void*>(&bytes),
                         nullptr) == CL_SUCCESS)
      KernelCache::store(key, binary);
  }

  cl_context context_;
  cl_device_id device_;
  cl_command_queue queue_;
  OpenclDevice described_;
  std::unordered_map<DeviceKernel, cl_kernel, DeviceKernelHash> kernels_;
  std::unordered_map<std::string, cl_program> programs_;
  std::deque<Chunk> scratch_;
  std::vector<Fault> faults_;
  std::optional<bool> in_host_memory_;
  size_t n_faults_ = 0;                          // of the running task
  std::optional<Clock::time_point> busy_since_;  // where a test slows it down: the first launch
};

}  // namespace

bool built_with_opencl() { return true; }

std::string OpenclDevice::kind() const {
  return fmt::format("opencl {} {} {} units {}{}", platform, name, compute_units, driver,
                     slowness() > 1 ? fmt::format(" slowed {} times", slowness()) : "");
}

const std::vector<OpenclDevice>& opencl_devices() {
  static const std::vector<OpenclDevice> all = [] {
    std::vector<OpenclDevice> list;
    for (cl_device_id device : all_devices()) list.push_back(describe(device));
    return list;
  }();
  return all;
}

std::unique_ptr<DeviceQueue> make_opencl_queue(void* context, void* device, void* queue) {
  return std::make_unique<OpenclQueue>(static_cast<cl_context>(context), static_cast<cl_device_id>(device),
                                       static_cast<cl_command_queue>(queue));
}

std::unique_ptr<DeviceQueue> make_opencl_queue(int index) {
  const std::vector<cl_device_id> all = all_devices();
  if (index < 0 || index >= static_cast<int>(all.size()))
    throw error("opencl:{}: this machine has {} OpenCL devices; see tessera info", index, all.size());
  cl_device_id device = all[static_cast<size_t>(index)];
  cl_int status = CL_SUCCESS;
  cl_context context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &status);
  check(status, "a context");
  cl_command_queue queue = clCreateCommandQueue(context, device, 0, &status);
  check(status, "a queue");
  auto made = make_opencl_queue(context, device, queue);
  clReleaseCommandQueue(queue);
  clReleaseContext(context);
  return made;
}

}  // namespace tessera
