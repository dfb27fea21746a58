// Programs and plans as text that people can read, for tests and `tessera plan`.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "runtime/plan/plan.hpp"

namespace tessera {

// One op use a line: "t5 = block0/matmul(x, w)". Results are named by their tensor's id; "t7 in w" takes over
// the storage of w; backward ops end in "backward".
std::string to_text(const Program& program);

// One task a line: "0: matmul(x[0], w) > t3[0]  before 2 3". ">" writes, "+>" updates, "; " separates the
// stages of a fused task, "@2" is the buffer of an intermediate tile, "~" its place in a task's scratch
// memory; "next step" lists the tasks of the next step that wait. Micro-batches are headed where there are
// several.
std::string to_text(const Plan& plan);

}  // namespace tessera
