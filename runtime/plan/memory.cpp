// Adding up a plan's memory.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/memory.hpp"

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

constexpr int64_t task_bytes = 2600;  // measured: what an engine keeps per task and set of tasks

}  // namespace

MemoryNeed memory_need(const Plan& plan) {
  return {.variables = plan.variable_bytes(),
          .intermediate = plan.intermediate_bytes(),
          .transfers = plan.transfer_bytes(),
          .engine = step_sets * task_bytes * static_cast<int64_t>(plan.tasks.size())};
}

void check_memory(const MemoryNeed& need, int64_t available) {
  if (need.total() <= available) return;
  throw error(
      "the plan needs {} of memory ({} for variables, {} for intermediate results), {} are available; take a "
      "smaller model, batch or seq, or train.recompute = \"block\"",
      bytes_text(need.total()), bytes_text(need.variables), bytes_text(need.intermediate),
      bytes_text(available));
}

}  // namespace tessera
