// Policies by name: ours, and those of shared libraries.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/sched/scheduler.hpp"

namespace tessera {

struct PolicyEntry {
  std::string_view name;
  std::unique_ptr<Scheduler> (*make)();
};
const std::vector<PolicyEntry>& policy_table();  // generated from schedulers/CMakeLists.txt

// The policy that `name` means: one of ours, or "./libmine.so:mine" of a library built against the installed
// headers. Null where it is neither, as StarPU's are; Error where the library does not give it.
std::unique_ptr<Scheduler> make_scheduler(const std::string& name);

}  // namespace tessera
