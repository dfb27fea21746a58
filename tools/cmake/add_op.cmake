# add_op(softmax): one op is one folder. Its files are found by suffix and its entry joins the op table.
# SPDX-License-Identifier: Apache-2.0
#
#   <op>.cpp       OpEntry <op>_entry(): infer, grad, lower, reference, cases
#   <op>_*.cpp     kernels and launches, by backend
#   *_gpu.cl       device kernels, embedded as text
set_property(GLOBAL PROPERTY tessera_ops "")
set_property(GLOBAL PROPERTY tessera_device_sources "")

# A text file becomes the string literal generated/<name>.inc.
function(tessera_embed file name)
  set(made ${PROJECT_BINARY_DIR}/generated/${name}.inc)
  set(script ${PROJECT_SOURCE_DIR}/tools/cmake/embed_text.cmake)
  add_custom_command(OUTPUT ${made} COMMAND ${CMAKE_COMMAND} -DFROM=${file} -DTO=${made} -P ${script}
                     DEPENDS ${file} ${script} VERBATIM)
  set_property(GLOBAL APPEND PROPERTY tessera_embedded ${made})
endfunction()

function(add_op name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${name}.cpp)
    message(FATAL_ERROR "add_op(${name}): ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${name}.cpp is missing")
  endif()
  target_sources(tessera PRIVATE ${sources})
  set_property(GLOBAL APPEND PROPERTY tessera_ops ${name})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*_gpu.cl)
  foreach(source ${sources})
    string(REGEX REPLACE ".*/(.*)_gpu.cl" "\\1" stem ${source})
    set_property(GLOBAL APPEND PROPERTY tessera_device_sources ${stem})
    tessera_embed(${source} ${stem}_gpu)
  endforeach()
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

  get_property(stems GLOBAL PROPERTY tessera_device_sources)
  tessera_embed(${PROJECT_SOURCE_DIR}/runtime/device/portable.h portable)
  tessera_embed(${PROJECT_SOURCE_DIR}/runtime/device/vectors.h vectors)
  tessera_embed(${PROJECT_SOURCE_DIR}/runtime/device/eights.h eights)
  tessera_embed(${PROJECT_SOURCE_DIR}/runtime/device/random.h random)
  tessera_embed(${PROJECT_SOURCE_DIR}/runtime/device/matrix_units.h matrix_units)
  set(rows "")
  foreach(stem ${stems})
    string(APPEND rows "      {\"${stem}\",\n#include \"${stem}_gpu.inc\"\n      },\n")
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/device_sources.cpp @ONLY CONTENT
"// The device sources of all ops; generated from codelets/CMakeLists.txt.
#include \"runtime/device/source.hpp\"

namespace tessera {

extern const std::string_view device_head;
const std::string_view device_head =
#include \"portable.inc\"
#include \"vectors.inc\"
#include \"eights.inc\"
#include \"random.inc\"
#include \"matrix_units.inc\"
    ;

const std::vector<DeviceSource>& device_sources() {
  static const std::vector<DeviceSource> table = {
@rows@  };
  return table;
}

}  // namespace tessera
")
  target_sources(tessera PRIVATE ${PROJECT_BINARY_DIR}/generated/device_sources.cpp)
  get_property(embedded GLOBAL PROPERTY tessera_embedded)
  add_custom_target(embedded_sources DEPENDS ${embedded})  # their rules belong to this folder, the library to another
  add_dependencies(tessera embedded_sources)
  set_source_files_properties(${PROJECT_BINARY_DIR}/generated/device_sources.cpp TARGET_DIRECTORY tessera
                              PROPERTIES OBJECT_DEPENDS "${embedded}")
endfunction()
