// How fast each kernel of a plan is on one core, on the tiles it has there, beside what bounds it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/exec/executor.hpp"
#include "runtime/plan/plan.hpp"
#include "tools/tessera/ceiling.hpp"

namespace tessera {

// What one core could do.
struct CoreBounds {
  Ceiling matmul;               // GF/s
  double read = 0, update = 0;  // bytes/s of memory, only read, or read and written: both count

  double seconds(DType dtype, double flops, double read_bytes, double written_bytes) const;
};

CoreBounds measure_core_bounds(double seconds);

struct OpRate {
  std::string op, kernel, tiles;  // "f32 512x512, f32 512x2048 > f32 512x2048": read > written or updated
  DType dtype = DType::f32;       // of the products' operands; f32 where they differ
  double seconds = 0;             // median of the calls
  double flops = 0, read_bytes = 0, written_bytes = 0;
  double flops_s = 0, bytes_s = 0;  // what the bounds allow

  bool by_flops() const { return flops_s >= bytes_s; }
  double share() const { return (by_flops() ? flops_s : bytes_s) / seconds; }
};

struct OpRatesOptions {
  double seconds = 0.05;           // per kernel
  std::set<std::string> ops = {};  // only these; empty: all
  bool all = false;                // every size of tiles; else the largest of each kind of call
  std::function<void(const OpRate&)> found = {};
};

// Walks through one step of the plan on this thread, from fresh variables and the given inputs, and repeats
// calls that are unlike those before: over copies of their tiles, more than caches hold. `known` are the
// calls that were measured before, and grows.
void measure_op_rates(const Plan& plan, std::span<const Feed> feeds, const CoreBounds& bounds,
                      std::set<std::string>& known, const OpRatesOptions& options);

}  // namespace tessera
