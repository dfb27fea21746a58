// tessera bench step: how long a training step takes, and what share of the ceiling that is.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "runtime/exec/executor.hpp"
#include "runtime/trace/trace.hpp"
#include "tools/tessera/output.hpp"
#include "tools/tessera/shapes.hpp"

namespace tessera {

struct StepRun {
  Executor& executor;                     // made with `record`
  std::function<Executor::Step()> start;  // feeds and starts one step
  int warmup = 3, steps = 9;
  bool records_disturb = false;  // devices wait for what they record: then steps of their own are
};

struct StepReport {
  std::string shape;
  DType dtype = DType::f32;
  double step_s = 0, tokens_per_s = 0, gflops = 0;
  double ceiling_gflops = 0;  // measured beside it
  int64_t peak_bytes = 0;
  int64_t predicted_bytes = 0, activation_bytes = 0,
          intermediate_bytes = 0;  // what the plan said; activations are among the latter
  KernelTimes times;               // of the measured steps, or of others like them

  double share() const { return ceiling_gflops > 0 ? gflops / ceiling_gflops : 0; }
};

// Steps follow each other as in training, the next one started before the last is over; the median of the
// times from one step's end to the next one's.
StepReport measure_step(const StepShape& shape, DType dtype, const StepRun& run);

inline constexpr auto step_keys = R"(JSON: one line with the keys
  shape dtype     what was measured
  workers         started: fewer than asked for where cores are of no help beside a device
  step_s          median seconds of a step
  tokens_per_s gflops
  ceiling_gflops  of the best matrix product; the mean of before and after
  share           gflops / ceiling_gflops
  peak_mib        the process's peak resident memory
  predicted_mib   what the plan predicted of it, as `tessera plan` does
  intermediate_mib   of it: activations and gradients
  activation_mib  what activations hold of that at most, without the gradients of variables
  time            all workers' seconds per step: each kernel's by its name, "idle" (no task was ready) and
                  "engine" (one was); together workers · the mean step)";
Json as_json(const StepReport& report);
void print_text(const StepReport& report);

}  // namespace tessera
