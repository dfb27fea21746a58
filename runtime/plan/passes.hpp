// The passes that turn a graph into a plan, in the order make_plan runs them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/plan/plan.hpp"

namespace tessera {

// On the program.
void prune(Program& program);                      // prune.cpp
void fold(Program& program);                       // fold.cpp
void recompute(Program& program, Recompute what);  // recompute.cpp

// Before lowering.
void lay_out_variables(Plan& plan);  // layouts.cpp

// On the tile tasks.
void link_tasks(Plan& plan);                      // dependencies.cpp: fills next, n_before (and across steps)
void order_micro_batches(Plan& plan, int count);  // micro_batches.cpp
void fuse(Plan& plan);                            // fuse.cpp
void join_chains(Plan& plan);                     // join_chains.cpp
void join_runs(Plan& plan, const RunLimit& limit);   // join_runs.cpp
void assign_buffers(Plan& plan);                     // lifetimes.cpp
void prioritise(Plan& plan);                         // priorities.cpp
void place(Plan& plan, const Placement& placement);  // place.cpp

}  // namespace tessera
