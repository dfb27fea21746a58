// How benchmarks measure: medians, of calls and of training steps.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "runtime/device/queue.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {

// The upper one of an even number.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The median of some calls, after one to compile and to warm up.
template <class Work>
double seconds_of(int repeats, const Work& work) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> took;
  for (int k = 0; k <= repeats; ++k) {
    const auto start = Clock::now();
    work();
    if (k > 0) took.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return median(std::move(took));
}

// The median time from one step's end to the next one's. Steps follow each other as in training: the next one
// is started before the last is over.
template <class Start>
double seconds_of_step(int steps, const Start& start) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> took;
  Executor::Step before = start();
  auto last = Clock::now();
  for (int step = 0; step < steps; ++step) {
    const Executor::Step next = start();
    before.wait();
    const auto now = Clock::now();
    took.push_back(std::chrono::duration<double>(now - last).count());
    last = now;
    before = next;
  }
  before.wait();
  return median(std::move(took));
}

// Memory of a device, zero at first and freed at the end.
class DeviceMemory {
 public:
  DeviceMemory(DeviceQueue& queue, size_t bytes) : queue_(queue), memory_(queue.allocate(bytes)) {
    queue_.fill(memory_, static_cast<int64_t>(bytes), 0);
    queue_.finish();
  }
  ~DeviceMemory() { queue_.deallocate(memory_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  void* get() const { return memory_; }

 private:
  DeviceQueue& queue_;
  void* memory_;
};

}  // namespace tessera
