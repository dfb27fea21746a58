// What a plan costs before it runs: tasks, flops and bytes by kernel, critical path, memory, and a bound on
// time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/config/config.hpp"
#include "runtime/exec/spill.hpp"
#include "runtime/plan/memory.hpp"
#include "runtime/plan/plan.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {

struct PlanReport {
  struct Kernel {
    std::string name;
    int64_t calls = 0;
    double flops = 0;
    int64_t bytes = 0;  // read and written, wherever they are
  };

  int workers = 1;
  int64_t tasks = 0, dependencies = 0;
  std::vector<Kernel> kernels;  // those with the most flops first
  double flops = 0;
  int64_t longest_chain = 0;  // tasks
  double area_s = 0;          // all work at the ceiling's rate, shared evenly by the workers
  double critical_path_s = 0;
  MemoryNeed memory;
  int64_t process_bytes = 0;   // the program, its libraries, the plan and an engine without tasks
  std::optional<Spill> spill;  // under run.host_memory
  HostLimit host;
  int64_t device_memory = 0, device_tiles = 0;  // bytes: of each device, and of all tiles
  std::string tiling;
  std::vector<std::string> notes;

  double bound_s() const;      // no schedule is faster
  double parallelism() const;  // workers that could be kept busy
  int64_t peak_bytes() const { return memory.total() + process_bytes; }
};

// `ceiling` is that of `workers` workers.
PlanReport report_on(const Plan& plan, const Ceiling& ceiling, int workers);

// What the limits of [run] mean for it; Error where they do not admit it.
void add_limits(PlanReport& report, const Plan& plan, const RunConfig& run);

// Documented in the help of `tessera plan`.
inline constexpr auto plan_keys = R"(JSON lines:
  {"what":"plan","tasks":…,"dependencies":…,"longest_chain":…,"flops":…,"workers":…,
   "area_s":…,"critical_path_s":…,"bound_s":…,"parallelism":…,
   "intermediate_bytes":…,"variable_bytes":…,"transfer_bytes":…,"process_bytes":…,"peak_bytes":…,"tiling":…}
  {"what":"kernel","kernel":…,"calls":…,"flops":…,"bytes":…}    one per kernel
  {"what":"host_memory","limit_bytes":…,"process_bytes":…,"held_bytes":…,"spilled_bytes":…,"swap":…,
   "read_bytes":…,"written_bytes":…}                            under run.host_memory; the last two in a step
  {"what":"device_memory","limit_bytes":…,"tile_bytes":…}       under run.device_memory
  {"what":"note","text":…}                                      re-tiles and other costs worth knowing)";
void print_json(const PlanReport& report);
void print_text(const PlanReport& report);

// At whose rate a call's flops run: bf16's where all matrices that are read are bf16; biases do not matter.
DType product_dtype(const Plan& plan, const Stage& stage);

// Graphviz' language: a node per task, an edge per dependency; those into the next step are dashed. Throws
// Error where the plan is too large to be looked at.
std::string dot(const Plan& plan);

}  // namespace tessera
