// What happened: an executor's records as a timeline for people, and as the workers' time by kernel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/exec/executor.hpp"

namespace tessera {

// Records of some steps of a plan, per worker in the order of time.
struct Recording {
  const Plan& plan;
  std::span<const std::vector<Record>> workers;
  std::span<const StepStart> starts;
};

// What an executor with `record` kept; its steps must be over, and it must outlive the recording.
Recording recording_of(const Executor& executor);

// Trace events in JSON, as https://ui.perfetto.dev and chrome://tracing read them: a track per worker, a
// slice per stage (inside a slice for its task where that has several), arrows along the dependencies, and
// a span per step.
std::string chrome_trace(const Recording& recording);
void write_chrome_trace(const Recording& recording, const std::filesystem::path& file);

// Where the workers' time went, from the first step's start to the last record's end. In a gap between
// tasks a worker waits for the engine as far as there were tasks ready for it, else it is idle.
struct KernelTimes {
  struct Kernel {
    double seconds = 0, flops = 0;
    int64_t calls = 0;
  };
  struct Worker {
    double busy = 0, engine = 0, idle = 0;  // seconds; they add up to `span`
  };

  std::map<std::string, Kernel, std::less<>> kernels;
  std::vector<Worker> workers;
  int64_t steps = 0;
  double span = 0;  // seconds

  double busy() const { return total(&Worker::busy); }
  double engine() const { return total(&Worker::engine); }
  double idle() const { return total(&Worker::idle); }

 private:
  double total(double Worker::* part) const;
};

KernelTimes kernel_times(const Recording& recording);

}  // namespace tessera
