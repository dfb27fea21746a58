// Choosing matmul's sizes for a device by measuring them.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <mutex>
#include <sstream>

#include "codelets/matmul/matmul_gpu.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

// What tuned_matmul answers; read from the file once.
struct Known {
  std::mutex mutex;
  std::vector<TunedMatmul> list = read_tuned_matmul(tuned_matmul_file());

  static Known& here() {
    static Known known;
    return known;
  }
  TunedMatmul* find(const std::string& device, DType dtype) {
    const auto same = [&](const TunedMatmul& t) { return t.device == device && t.dtype == dtype; };
    const auto found = std::find_if(list.begin(), list.end(), same);
    return found == list.end() ? nullptr : &*found;
  }
};

// Square operands on the device, freed at the end.
class Operands {
 public:
  Operands(DeviceQueue& queue, int64_t n, DType dtype)
      : queue_(queue),
        shape_{.m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n, .a = dtype, .b = dtype, .c = dtype} {
    const int64_t bytes = n * n * static_cast<int64_t>(size_of(dtype));
    for (void*& one : memory_) {
      one = queue_.allocate(static_cast<size_t>(bytes));
      queue_.fill(one, bytes, 0);  // zeros multiply as fast as other numbers
    }
    queue_.finish();
  }
  ~Operands() {
    for (void* one : memory_) queue_.deallocate(one);
  }
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;

  // The shortest of a few products: what disturbs a measurement makes it longer.
  double seconds(const MatmulSizes& sizes) const {
    using Clock = std::chrono::steady_clock;
    constexpr int most = 40;
    constexpr double enough = 0.15;
    double best = std::numeric_limits<double>::infinity(), spent = 0;
    for (int k = 0; k <= most && (k <= 3 || spent < enough); ++k) {
      const auto start = Clock::now();
      device_matmul(queue_, shape_, {memory_[0], memory_[1], memory_[2]}, {}, sizes);
      queue_.finish();
      const double took = std::chrono::duration<double>(Clock::now() - start).count();
      if (k == 0) continue;  // compiles
      best = std::min(best, took);
      spent += took;
    }
    return best;
  }

 private:
  DeviceQueue& queue_;
  Gemm shape_;
  std::array<void*, 3> memory_{};
};

MatmulSizes known_or_default(DeviceQueue& queue, DType dtype) {
  const std::vector<MatmulSizes> all = matmul_sizes(queue.traits());
  Known& known = Known::here();
  std::lock_guard lock(known.mutex);
  const TunedMatmul* found = known.find(queue.device_name(), dtype);
  const bool suits = found && std::find(all.begin(), all.end(), found->sizes) != all.end();
  return suits ? found->sizes : all.front();
}

std::string choice_of(DType dtype) { return fmt::format("matmul {}", name_of(dtype)); }

}  // namespace

MatmulSizes tuned_matmul(DeviceQueue& queue, DType dtype) {
  const std::string chosen = queue.choices().choose(choice_of(dtype), [&] {
    const MatmulSizes s = known_or_default(queue, dtype);
    return fmt::format("{} {} {} {} {}", s.tm, s.tn, s.tk, s.mr, s.nr);
  });
  MatmulSizes sizes{};
  std::istringstream(chosen) >> sizes.tm >> sizes.tn >> sizes.tk >> sizes.mr >> sizes.nr;
  const std::vector<MatmulSizes> all = matmul_sizes(queue.traits());
  if (std::find(all.begin(), all.end(), sizes) == all.end())
    throw failure("matmul on {}: the recorded sizes '{}' are none of its", queue.device_name(), chosen);
  return sizes;
}

MatmulSizes tune_matmul(DeviceQueue& queue, DType dtype, const std::function<void(double)>& progress) {
  constexpr double worth_it = 0.97;  // of the default's time: less would be noise
  const std::vector<MatmulSizes> all = matmul_sizes(queue.traits());
  const Operands operands(queue, 512, dtype);
  MatmulSizes best = all.front();
  double shortest = std::numeric_limits<double>::infinity();
  for (size_t k = 0; k < all.size(); ++k) {
    try {
      const double took = operands.seconds(all[k]);
      if (took < shortest) best = all[k], shortest = took * (k == 0 ? worth_it : 1);
    } catch (const Failure&) {  // too much for this device's registers or memory
      if (k == 0) throw;
    }
    if (progress) progress(static_cast<double>(k + 1) / static_cast<double>(all.size()));
  }
  const TunedMatmul tuned{queue.device_name(), dtype, best};
  queue.choices().forget(choice_of(dtype));
  Known& known = Known::here();
  std::lock_guard lock(known.mutex);
  if (TunedMatmul* found = known.find(tuned.device, dtype))
    *found = tuned;
  else
    known.list.push_back(tuned);
  try {
    keep_tuned_matmul(tuned_matmul_file(), tuned);
  } catch (const std::exception& problem) {
    spdlog::warn("{}; the next process will have to tune matmul again", problem.what());
  }
  return best;
}

}  // namespace tessera
