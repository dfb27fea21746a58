# add_op(softmax): one op is one folder. Its files are found by suffix and its entry joins the op table.
# SPDX-License-Identifier: Apache-2.0
#
#   <op>.cpp       OpEntry <op>_entry(): infer, grad, lower, reference, cases
#   <op>_*.cpp     kernels and launches, by backend
#   <op>_gpu.cl    device kernels, embedded as text
set_property(GLOBAL PROPERTY tessera_ops "")

function(add_op name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${name}.cpp)
    message(FATAL_ERROR "add_op(${name}): ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${name}.cpp is missing")
  endif()
  target_sources(tessera PRIVATE ${sources})
  set_property(GLOBAL APPEND PROPERTY tessera_ops ${name})
endfunction()

# Writes the explicit table of all ops; call it after the last add_op.
function(generate_op_table)
  get_property(ops GLOBAL PROPERTY tessera_ops)
  set(declarations "")
  set(rows "")
  foreach(op ${ops})
    string(APPEND declarations "OpEntry ${op}_entry();\n")
    string(APPEND rows "      ${op}_entry(),\n")
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/op_table.cpp @ONLY CONTENT
"// All ops; generated from codelets/CMakeLists.txt.
#include \"runtime/graph/op.hpp\"

namespace tessera {

@declarations@
const std::vector<OpEntry>& op_table() {
  static const std::vector<OpEntry> table = {
@rows@  };
  return table;
}

}  // namespace tessera
")
  target_sources(tessera PRIVATE ${PROJECT_BINARY_DIR}/generated/op_table.cpp)
endfunction()
