// What decides how long a task takes: kernels, dtypes and shapes of tiles, as one number.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/plan/plan.hpp"

namespace tessera {

// Equal for tasks that do the same work on other tiles, in this plan or another one.
uint64_t footprint(const Plan& plan, const Task& task);

// Whether its matrix products, if any, read 16-bit numbers: they have a peak of their own.
bool reads_16_bits(const Plan& plan, const Task& task);

}  // namespace tessera
