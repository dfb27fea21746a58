// How much memory a plan takes, and the refusal where there is not so much.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "runtime/plan/plan.hpp"

namespace tessera {

// Bytes on top of what the process has before it.
struct MemoryNeed {
  int64_t variables = 0, intermediate = 0, transfers = 0;
  int64_t engine = 0;  // the engine's own structures for the plan's tasks

  int64_t total() const { return variables + intermediate + transfers + engine; }
};

// On main memory; of the whole process: the program, its libraries and the engine count as well.
struct HostLimit {
  int64_t bytes = 0;  // 0: none
  std::string swap;   // a folder for what does not fit, or empty
};

MemoryNeed memory_need(const Plan& plan);

// The most that activations and their gradients hold at once, the tasks going by in the plan's order: of the
// intermediate results, those that have rows. Gradients of variables have none.
int64_t activation_bytes(const Plan& plan);

// Throws Error that says how much is needed where that is more than `available` bytes.
void check_memory(const MemoryNeed& need, int64_t available);

}  // namespace tessera
