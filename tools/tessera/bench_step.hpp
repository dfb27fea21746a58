// tessera bench step: how long a training step takes, and what share of the ceiling that is.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/exec/executor.hpp"
#include "runtime/trace/trace.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {

// The models that peers are compared on.
struct StepShape {
  std::string_view name;
  std::string_view kind;  // "gpt": GPT-2, tied head; "llama": untied
  int64_t layers, heads, kv_heads, width, ffn, vocab, seq, batch;

  int64_t tokens() const { return batch * seq; }
  // 6 · parameters in matrices · tokens, without embeddings that are only looked up, and 12 · layers · batch
  // · seq² · width for attention, halved since it is causal.
  double flops() const;
};

std::span<const StepShape> step_shapes();
const StepShape& step_shape_named(std::string_view name);  // throws Error on an unknown name

struct StepRun {
  Executor& executor;                     // made with `record`
  std::function<Executor::Step()> start;  // feeds and starts one step
  int warmup = 3, steps = 9;
};

struct StepReport {
  std::string shape;
  DType dtype = DType::f32;
  double step_s = 0, tokens_per_s = 0, gflops = 0, ceiling_gflops = 0;
  int64_t peak_bytes = 0;
  KernelTimes times;  // of the measured steps

  double share() const { return ceiling_gflops > 0 ? gflops / ceiling_gflops : 0; }
};

// Steps follow each other as in training, the next one started before the last is over; the median of the
// times from one step's end to the next one's.
StepReport measure_step(const StepShape& shape, DType dtype, double ceiling_gflops, const StepRun& run);

inline constexpr auto step_keys = R"(JSON: one line with the keys
  shape dtype     what was measured
  step_s          median seconds of a step
  tokens_per_s gflops ceiling_gflops
  share           gflops / ceiling_gflops
  peak_mib        the process's peak resident memory
  time            all workers' seconds per step: each kernel's by its name, "idle" (no task was ready) and
                  "engine" (one was); together workers · the mean step)";
Json as_json(const StepReport& report);
void print_text(const StepReport& report);

}  // namespace tessera
