# add_scheduler(affinity): one policy is one file, affinity.cpp, which defines std::unique_ptr<Scheduler> make_affinity().
# SPDX-License-Identifier: Apache-2.0
set_property(GLOBAL PROPERTY tessera_schedulers "")

function(add_scheduler name)
  target_sources(tessera PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${name}.cpp)
  set_property(GLOBAL APPEND PROPERTY tessera_schedulers ${name})
endfunction()

# Writes the explicit table of all policies; call it after the last add_scheduler.
function(generate_scheduler_table)
  get_property(names GLOBAL PROPERTY tessera_schedulers)
  set(declarations "")
  set(rows "")
  foreach(name ${names})
    string(APPEND declarations "std::unique_ptr<Scheduler> make_${name}();\n")
    string(APPEND rows "      {\"${name}\", make_${name}},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/policy_table.cpp @ONLY CONTENT
"// All policies; generated from schedulers/CMakeLists.txt.
#include \"runtime/sched/policies.hpp\"

namespace tessera {

@declarations@
const std::vector<PolicyEntry>& policy_table() {
  static const std::vector<PolicyEntry> table = {
@rows@  };
  return table;
}

}  // namespace tessera
")
  target_sources(tessera PRIVATE ${PROJECT_BINARY_DIR}/generated/policy_table.cpp)
endfunction()
