// Measuring devices through their queues.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/device_peaks.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "codelets/matmul/matmul_gpu.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
namespace {

constexpr size_t copied_bytes = size_t{32} << 20;

template <class Work>
double seconds_on(DeviceQueue& queue, const Work& work) {
  return seconds_of(9, [&] {
    work();
    queue.finish();
  });
}

// Products per second of square matrices of 512, and on GPUs, which want more to do, of 4096.
double matmul_flops(DeviceQueue& queue, DType dtype) {
  double best = 0;
  const int64_t sizes[] = {512, 4096};
  for (int64_t n : std::span(sizes, queue.traits().is_cpu ? 1 : 2)) {
    const Gemm shape{
        .m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n, .a = dtype, .b = dtype, .c = dtype};
    const size_t bytes = static_cast<size_t>(n * n) * size_of(dtype);
    const DeviceMemory a(queue, bytes), b(queue, bytes), c(queue, bytes);
    const GemmOperands operands{a.get(), b.get(), c.get()};
    const MatmulSizes sizes_here = tuned_matmul(queue, dtype);
    const double seconds = seconds_on(queue, [&] {
      if (!queue.library_gemm(shape, operands)) device_matmul(queue, shape, operands, {}, sizes_here);
    });
    best = std::max(best, 2.0 * static_cast<double>(n * n) * static_cast<double>(n) / seconds);
  }
  return best;
}

}  // namespace

Peaks measure_cpu(int workers) {
  constexpr double each = 0.15;
  Peaks peaks;
  for (int64_t n : {256, 512}) {
    peaks.f32_flops = std::max(peaks.f32_flops, measure_matmul(DType::f32, n, workers, each).gflops * 1e9);
    peaks.bf16_flops = std::max(peaks.bf16_flops, measure_matmul(DType::bf16, n, workers, each).gflops * 1e9);
  }
  peaks.f32_flops /= workers;
  peaks.bf16_flops /= workers;
  peaks.memory_bytes = measure_read_bandwidth(workers, each) / workers;
  return peaks;
}

Peaks measure_device(DeviceQueue& queue, const std::function<void(double)>& progress) {
  const auto at = [&](double share) {
    if (progress) progress(share);
  };
  Peaks peaks;
  if (queue.api() == DeviceApi::opencl) {
    tune_matmul(queue, DType::f32, [&](double share) { at(0.4 * share); });
    tune_matmul(queue, DType::bf16, [&](double share) { at(0.4 + 0.4 * share); });
  }
  at(0.8);
  peaks.f32_flops = matmul_flops(queue, DType::f32);
  peaks.bf16_flops = matmul_flops(queue, DType::bf16);
  at(0.9);
  constexpr auto bytes = static_cast<double>(copied_bytes);
  const DeviceMemory from(queue, copied_bytes), to(queue, copied_bytes);
  const std::vector<std::byte> host(copied_bytes);
  std::vector<std::byte> back(copied_bytes);
  peaks.to_device_bytes =
      bytes / seconds_on(queue, [&] { queue.write(to.get(), host.data(), copied_bytes); });
  peaks.from_device_bytes =
      bytes / seconds_on(queue, [&] { queue.read(back.data(), from.get(), copied_bytes); });
  const Region whole_from{.memory = from.get(), .pitch = copied_bytes},
      whole_to{.memory = to.get(), .pitch = copied_bytes};
  peaks.memory_bytes =
      2 * bytes / seconds_on(queue, [&] { queue.copy(whole_to, whole_from, 1, copied_bytes); });
  peaks.task_seconds = seconds_on(queue, [&] { queue.fill(to.get(), 64, 0); });
  at(1);
  return peaks;
}

}  // namespace tessera
