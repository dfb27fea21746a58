// CUDA devices and their queue: everything goes to one stream, and nothing waits inside a task.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/cuda.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <deque>

#include "runtime/device/cuda_api.hpp"
#include "runtime/device/cuda_gemm.hpp"
#include "runtime/device/cuda_kernels.hpp"

namespace tessera {

void check(const CudaRuntime& runtime, cudaError_t status, std::string_view call) {
  if (status == cudaSuccess) return;
  runtime.cudaGetLastError();  // so that later calls do not see this error again
  if (status == cudaErrorMemoryAllocation) throw failure("CUDA: {}: the device is out of memory", call);
  throw failure("CUDA: {}: {}", call, runtime.cudaGetErrorString(status));
}

namespace {

CudaDevice describe(const CudaRuntime& cuda, int index) {
  cudaDeviceProp properties{};
  check(cuda, cuda.cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  char bus_id[32] = "";
  check(cuda, cuda.cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, index), "cudaDeviceGetPCIBusId");
  int driver = 0;
  check(cuda, cuda.cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  return {.name = properties.name,
          .driver = fmt::format("{}.{}", driver / 1000, driver % 1000 / 10),
          .bus_id = bus_id,
          .memory_bytes = static_cast<int64_t>(properties.totalGlobalMem),
          .major = properties.major,
          .minor = properties.minor,
          .multiprocessors = properties.multiProcessorCount,
          .shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlock)};
}

int count_devices(const CudaRuntime& cuda) {
  int driver = 0, count = 0;
  check(cuda, cuda.cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  if (driver == 0) throw failure("there is no NVIDIA driver");
  check(cuda, cuda.cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

// Device memory for tasks, handed out from the start again for every one: the stream keeps them apart.
class Scratch {
 public:
  explicit Scratch(const CudaRuntime& cuda) : cuda_(cuda) {}
  ~Scratch() {
    for (const Chunk& chunk : chunks_) cuda_.cudaFree(chunk.memory);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* take(size_t bytes) {
    bytes = (bytes + 255) / 256 * 256;
    while (current_ < chunks_.size() && chunks_[current_].bytes - used_ < bytes) ++current_, used_ = 0;
    if (current_ == chunks_.size()) {
      constexpr size_t least = size_t{4} << 20;
      Chunk chunk{nullptr, std::max(bytes, least)};
      check(cuda_, cuda_.cudaMalloc(&chunk.memory, chunk.bytes), "cudaMalloc");
      chunks_.push_back(chunk);
      used_ = 0;
    }
    used_ += bytes;
    return static_cast<std::byte*>(chunks_[current_].memory) + used_ - bytes;
  }
  void release() { current_ = used_ = 0; }

 private:
  struct Chunk {
    void* memory;
    size_t bytes;
  };
  const CudaRuntime& cuda_;
  std::vector<Chunk> chunks_;
  size_t current_ = 0, used_ = 0;
};

// Words in host memory that kernels write to and the host reads once their task is over.
class Faults {
 public:
  explicit Faults(const CudaRuntime& cuda) : cuda_(cuda) {}
  ~Faults() {
    for (Slot* page : pages_) cuda_.cudaFreeHost(page);
  }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  void* take(std::string what) {
    if (free_.empty()) add_page();
    Fault fault = free_.back();
    free_.pop_back();
    fault.what = std::move(what);
    running_.push_back(std::move(fault));
    return running_.back().on_device;
  }
  void end_task() { in_flight_.push_back(std::exchange(running_, {})); }

  // Of the oldest task: what it reported, if anything.
  std::string task_done() {
    std::string report;
    std::vector<Fault> over = std::move(in_flight_.front());
    in_flight_.pop_front();
    for (Fault& fault : over) {
      const int row = std::atomic_ref(fault.slot->row).exchange(0);
      if (row != 0 && report.empty())
        report = fault_text(std::move(fault.what), row - 1, std::atomic_ref(fault.slot->value).load());
      free_.push_back({fault.slot, fault.on_device, {}});
    }
    return report;
  }

 private:
  struct alignas(8) Slot {
    int row, value;
  };
  struct Fault {
    Slot* slot;
    Slot* on_device;
    std::string what;
  };

  void add_page() {
    constexpr size_t n = 512;
    void *page = nullptr, *there = nullptr;
    check(cuda_, cuda_.cudaHostAlloc(&page, n * sizeof(Slot), cudaHostAllocMapped | cudaHostAllocPortable),
          "cudaHostAlloc");
    pages_.push_back(static_cast<Slot*>(page));
    check(cuda_, cuda_.cudaHostGetDevicePointer(&there, page, 0), "cudaHostGetDevicePointer");
    std::fill_n(pages_.back(), n, Slot{0, 0});
    for (size_t k = 0; k < n; ++k) free_.push_back({pages_.back() + k, static_cast<Slot*>(there) + k, {}});
  }

  const CudaRuntime& cuda_;
  std::vector<Slot*> pages_;
  std::vector<Fault> free_, running_;
  std::deque<std::vector<Fault>> in_flight_;  // per task, oldest first
};

// What a library is missing for is said when it is used; here that it is missing tells kinds apart.
std::string compiler_version(const CudaApi& api) try {
  int major = 0, minor = 0;
  api.nvrtc().nvrtcVersion(&major, &minor);
  return fmt::format("NVRTC {}.{}", major, minor);
} catch (const Failure&) {
  return "no NVRTC";
}

std::string gemm_version(const CudaApi& api) try {
  return fmt::format("cuBLASLt {}", api.cublas_lt().cublasLtGetVersion());
} catch (const Failure&) {
  return "no cuBLASLt";
}

class CudaQueue final : public DeviceQueue {
 public:
  CudaQueue(const CudaApi& api, int index, cudaStream_t stream, bool own_stream)
      : api_(api),
        cuda_(api.runtime()),
        index_(index),
        described_(describe(cuda_, index)),
        stream_(stream),
        own_stream_(own_stream),
        scratch_(cuda_),
        faults_(cuda_),
        kernels_(api, described_) {
    use();
    if (own_stream)
      check(cuda_, cuda_.cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
            "cudaStreamCreateWithFlags");
  }
  ~CudaQueue() override {
    cuda_.cudaSetDevice(index_);
    cuda_.cudaStreamSynchronize(stream_);
    gemm_.reset();
    if (own_stream_) cuda_.cudaStreamDestroy(stream_);
    if (downloads_) cuda_.cudaStreamDestroy(downloads_);
  }

  DeviceApi api() const override { return DeviceApi::cuda; }
  std::string device_name() const override { return described_.name; }
  std::string kind() const override { return described_.kind(); }
  std::string numerics() const override {
    return fmt::format("cuda {}, {}, driver {}, {}, {}", described_.name, described_.architecture(),
                       described_.driver, compiler_version(api_), gemm_version(api_));
  }

  DeviceTraits traits() const override {
    return {.compute_units = described_.multiprocessors,
            .matrix_units = described_.major >= 8 && described_.shared_bytes >= 48 << 10};
  }

  void launch_kernel(const DeviceKernel& what, const Grid& grid, std::span<const LaunchArg> args) override {
    use();
    cudaKernel_t kernel = kernels_[what];
    constexpr size_t most = 64;
    if (args.size() > most) throw failure("CUDA: {} has more than {} arguments", what.name, most);
    void* list[most + 1];  // ends with null, which only a test looks at
    for (size_t k = 0; k < args.size(); ++k) list[k] = const_cast<std::byte*>(args[k].value.data());
    list[args.size()] = nullptr;
    const auto groups = [&](size_t d) { return static_cast<unsigned>(grid.groups[d]); };
    cudaLaunchConfig_t config{};
    config.gridDim = {groups(0), groups(1), groups(2)};
    config.blockDim = {static_cast<unsigned>(grid.items[0]), static_cast<unsigned>(grid.items[1]), 1};
    config.stream = stream_;
    if (const cudaError_t status = cuda_.cudaLaunchKernelExC(&config, kernel, list); status != cudaSuccess) {
      cuda_.cudaGetLastError();
      throw failure("CUDA: {} does not start on {}: {}", what.name, described_.name,
                    cuda_.cudaGetErrorString(status));
    }
  }

  void copy(const Region& to, const Region& from, int64_t rows, int64_t row_bytes) override {
    if (rows == 0 || row_bytes == 0) return;
    use();
    void* target = static_cast<std::byte*>(to.memory) + to.offset;
    const void* source = static_cast<const std::byte*>(from.memory) + from.offset;
    const auto width = static_cast<size_t>(row_bytes), height = static_cast<size_t>(rows);
    if (rows == 1 || (to.pitch == row_bytes && from.pitch == row_bytes))
      return check(cuda_,
                   cuda_.cudaMemcpyAsync(target, source, width * height, cudaMemcpyDeviceToDevice, stream_),
                   "cudaMemcpyAsync");
    check(cuda_,
          cuda_.cudaMemcpy2DAsync(target, static_cast<size_t>(to.pitch), source,
                                  static_cast<size_t>(from.pitch), width, height, cudaMemcpyDeviceToDevice,
                                  stream_),
          "cudaMemcpy2DAsync");
  }

  void fill(void* memory, int64_t bytes, uint8_t value) override {
    if (bytes == 0) return;
    use();
    check(cuda_, cuda_.cudaMemsetAsync(memory, value, static_cast<size_t>(bytes), stream_),
          "cudaMemsetAsync");
  }

  void* allocate(size_t bytes) override {
    use();
    void* memory = nullptr;
    check(cuda_, cuda_.cudaMalloc(&memory, std::max<size_t>(bytes, 4)), "cudaMalloc");
    return memory;
  }
  void deallocate(void* memory) override {
    cuda_.cudaSetDevice(index_);
    cuda_.cudaFree(memory);
  }
  void read(void* host, void* memory, size_t bytes) override {
    use();
    check(cuda_, cuda_.cudaMemcpyAsync(host, memory, bytes, cudaMemcpyDeviceToHost, stream_),
          "cudaMemcpyAsync");
    finish();
  }
  void write(void* memory, const void* host, size_t bytes) override {
    use();
    check(cuda_, cuda_.cudaMemcpyAsync(memory, host, bytes, cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync");
    finish();
  }
  void upload(void* memory, const void* host, size_t bytes) override {
    use();
    check(cuda_, cuda_.cudaMemcpyAsync(memory, host, bytes, cudaMemcpyHostToDevice, stream_),
          "cudaMemcpyAsync");
  }
  void download(void* host, void* memory, size_t bytes) override {
    use();
    if (!downloads_)
      check(cuda_, cuda_.cudaStreamCreateWithFlags(&downloads_, cudaStreamNonBlocking),
            "cudaStreamCreateWithFlags");
    check(cuda_, cuda_.cudaMemcpyAsync(host, memory, bytes, cudaMemcpyDeviceToHost, downloads_),
          "cudaMemcpyAsync");
    check(cuda_, cuda_.cudaStreamSynchronize(downloads_), "cudaStreamSynchronize");
  }
  void finish() override {
    use();
    check(cuda_, cuda_.cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  void* scratch_bytes(size_t bytes) override {
    use();
    return scratch_.take(bytes);
  }
  void* fault(std::string what) override {
    use();
    return faults_.take(std::move(what));
  }

  bool library_gemm(const Gemm& shape, const GemmOperands& operands) override {
    if (no_library_) return false;
    use();
    if (!gemm_) try {
        gemm_ = std::make_unique<CudaGemm>(api_, stream_);
      } catch (const Failure& why) {
        spdlog::warn("{}; matrix products use Tessera's own kernels, which are slower", why.what());
        no_library_ = true;
        return false;
      }
    return gemm_->run(shape, operands, *this);
  }

  void end_task() override {
    scratch_.release();
    faults_.end_task();
  }
  void task_done() override {
    if (const std::string report = faults_.task_done(); !report.empty()) throw failure("{}", report);
  }

 private:
  // A thread's device is its own; StarPU's workers may drive several.
  void use() { check(cuda_, cuda_.cudaSetDevice(index_), "cudaSetDevice"); }

  const CudaApi& api_;
  const CudaRuntime& cuda_;
  const int index_;
  const CudaDevice described_;
  cudaStream_t stream_;
  const bool own_stream_;
  cudaStream_t downloads_ = nullptr;
  Scratch scratch_;
  Faults faults_;
  CudaKernels kernels_;
  std::unique_ptr<CudaGemm> gemm_;
  bool no_library_ = false;
};

struct Found {
  std::vector<CudaDevice> devices;
  std::string why;
};

const Found& found() {
  static const Found once = [] {
    Found all;
    try {
      const CudaRuntime& cuda = cuda_api().runtime();
      const int count = count_devices(cuda);
      for (int index = 0; index < count; ++index) all.devices.push_back(describe(cuda, index));
      if (count == 0) all.why = "there is no CUDA device";
    } catch (const Failure& why) {
      all.devices.clear();
      all.why = why.what();
    }
    return all;
  }();
  return once;
}

void check_index(int index) {
  const auto count = static_cast<int>(cuda_devices().size());
  if (index >= 0 && index < count) return;
  if (count == 0) throw error("cuda:{}: {}", index, why_no_cuda());
  throw error("cuda:{}: this machine has {} CUDA devices; see tessera info", index, count);
}

}  // namespace

bool built_with_cuda() { return true; }
const std::vector<CudaDevice>& cuda_devices() { return found().devices; }
const std::string& why_no_cuda() { return found().why; }

std::unique_ptr<DeviceQueue> make_cuda_queue(const CudaApi& api, int index) {
  return std::make_unique<CudaQueue>(api, index, nullptr, true);
}
std::unique_ptr<DeviceQueue> make_cuda_queue(const CudaApi& api, int index, cudaStream_t stream) {
  return std::make_unique<CudaQueue>(api, index, stream, false);
}
std::unique_ptr<DeviceQueue> make_cuda_queue(int index) {
  check_index(index);
  return make_cuda_queue(cuda_api(), index);
}
std::unique_ptr<DeviceQueue> make_cuda_queue(int index, void* stream) {
  check_index(index);
  return make_cuda_queue(cuda_api(), index, static_cast<cudaStream_t>(stream));
}

}  // namespace tessera
