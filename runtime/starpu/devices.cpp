// StarPU's CUDA and OpenCL workers.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/starpu/devices.hpp"

#define CL_TARGET_OPENCL_VERSION 120
#include <starpu.h>
#include <starpu_cuda.h>
#include <starpu_opencl.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>

#include "runtime/core/error.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"

namespace tessera {
namespace {

#ifdef STARPU_USE_CUDA
// Weak: at run time there may be a StarPU without CUDA, which has no such function.
#pragma weak starpu_cuda_get_local_stream
bool has_cuda() { return starpu_cuda_get_local_stream != nullptr; }
std::unique_ptr<DeviceQueue> cuda_queue(int device) {
  return make_cuda_queue(device, starpu_cuda_get_local_stream());
}
#else
bool has_cuda() { return false; }
std::unique_ptr<DeviceQueue> cuda_queue(int) { return nullptr; }
#endif

#ifdef STARPU_USE_OPENCL
constexpr bool has_opencl = true;
std::unique_ptr<DeviceQueue> opencl_queue(int device) {
  cl_context context;
  cl_device_id id;
  cl_command_queue queue;
  starpu_opencl_get_context(device, &context);
  starpu_opencl_get_device(device, &id);
  starpu_opencl_get_queue(device, &queue);
  return make_opencl_queue(context, id, queue);
}
#else
constexpr bool has_opencl = false;
std::unique_ptr<DeviceQueue> opencl_queue(int) { return nullptr; }
#endif

struct Queues {
  std::vector<std::unique_ptr<DeviceQueue>> per_worker;
  std::mutex mutex;
  std::exception_ptr problem;
};

// A CUDA worker's stream is known to that worker alone.
void make_one(void* argument) noexcept {
  auto& queues = *static_cast<Queues*>(argument);
  const int worker = starpu_worker_get_id();
  const int device = starpu_worker_get_devid(worker);
  try {
    queues.per_worker[static_cast<size_t>(worker)] =
        starpu_worker_get_type(worker) == STARPU_CUDA_WORKER ? cuda_queue(device) : opencl_queue(device);
  } catch (...) {
    std::lock_guard lock(queues.mutex);
    queues.problem = std::current_exception();
  }
}

}  // namespace

void check_starpu(const EngineOptions& options) {
  if (!options.cuda.empty() && !has_cuda())
    throw error("cuda:{}: this StarPU is built without CUDA", options.cuda[0]);
  if (!options.opencl.empty() && !has_opencl)
    throw error("opencl:{}: this StarPU is built without OpenCL", options.opencl[0]);
}

void choose_devices(starpu_conf& conf, const EngineOptions& options) {
  conf.ncuda = static_cast<int>(options.cuda.size());
  conf.use_explicit_workers_cuda_gpuid = !options.cuda.empty();
  std::copy(options.cuda.begin(), options.cuda.end(), conf.workers_cuda_gpuid);
  conf.nopencl = static_cast<int>(options.opencl.size());
  if (options.opencl.empty()) return;
  // CPUs that call themselves OpenCL devices are devices as well, where they were asked for.
  setenv("STARPU_OPENCL_ON_CPUS", "1", 1);
  setenv("STARPU_NOPENCL", std::to_string(options.opencl.size()).c_str(), 1);
  conf.use_explicit_workers_opencl_gpuid = 1;
  std::copy(options.opencl.begin(), options.opencl.end(), conf.workers_opencl_gpuid);
}

// Where there is no limit, StarPU is kept from copying a tenth of what a device has written back to the host
// all the time, so that it could be dropped at once: GPT-2's intermediates, 6 GB a step.
DeviceMemoryLimit::DeviceMemoryLimit(int64_t bytes) {
  const auto set = [&](const char* name, int64_t value) {
    const char* before = std::getenv(name);
    before_.emplace_back(name, before ? std::optional<std::string>(before) : std::nullopt);
    setenv(name, std::to_string(value).c_str(), bytes != 0);
  };
  if (bytes == 0) {
    for (const char* name : {"STARPU_MINIMUM_CLEAN_BUFFERS", "STARPU_TARGET_CLEAN_BUFFERS"}) set(name, 0);
  } else {
    for (const char* name : {"STARPU_LIMIT_OPENCL_MEM", "STARPU_LIMIT_CUDA_MEM"}) set(name, bytes >> 20);
  }
}

DeviceMemoryLimit::~DeviceMemoryLimit() {
  for (const auto& [name, value] : before_) value ? setenv(name, value->c_str(), 1) : unsetenv(name);
}

int64_t largest_device_task(int at_once) {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (unsigned w = 0; w < starpu_worker_get_count(); ++w)
    if (starpu_worker_get_type(static_cast<int>(w)) != STARPU_CPU_WORKER)
      if (const starpu_ssize_t total = starpu_memory_get_total(starpu_worker_get_memory_node(w)); total > 0)
        least = std::min<int64_t>(least, total / at_once);
  return least;
}

std::vector<std::unique_ptr<DeviceQueue>> make_queues() {
  Queues queues;
  queues.per_worker.resize(starpu_worker_get_count());
  starpu_execute_on_each_worker(make_one, &queues, STARPU_CUDA | STARPU_OPENCL);
  if (queues.problem) std::rethrow_exception(queues.problem);
  return std::move(queues.per_worker);
}

}  // namespace tessera
