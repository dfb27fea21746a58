# What a build of Tessera can choose, and the flags every target is built with.
# SPDX-License-Identifier: Apache-2.0
option(TESSERA_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(TESSERA_FUZZ "Build the fuzz targets; needs clang and the tests" OFF)
option(TESSERA_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
# What tools/setup/starpu.sh reads as well is kept from the environment of the first configuration: TESSERA_CUDA,
# TESSERA_MPI and TESSERA_PREFIX.
foreach(choice CUDA OPENCL MPI)
  set(TESSERA_${choice} "$ENV{TESSERA_${choice}}" CACHE STRING
      "AUTO: ${choice} where it is found. ON: an error where it is not. OFF: never")
  set_property(CACHE TESSERA_${choice} PROPERTY STRINGS AUTO ON OFF)
  string(TOUPPER "${TESSERA_${choice}}" TESSERA_${choice})
  if(TESSERA_${choice} STREQUAL "")
    set(TESSERA_${choice} AUTO)
  elseif(NOT TESSERA_${choice} STREQUAL AUTO AND NOT TESSERA_${choice} MATCHES "^(ON|OFF|0|1)$")
    message(FATAL_ERROR "TESSERA_${choice}=${TESSERA_${choice}}: it may be AUTO, ON or OFF")
  endif()
endforeach()
set(TESSERA_PREFIX "$ENV{TESSERA_PREFIX}" CACHE PATH "Where tools/setup/ puts what it builds; empty: the user's data folder")
set(TESSERA_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")  # CMake's own defines NDEBUG, which would silence our asserts
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

include(GNUInstallDirs)
set(CMAKE_INSTALL_RPATH $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)  # StarPU may lie in a prefix of its own

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the tree are hashed as relative ones, so that another clone finds what this one compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${CCACHE})
endif()

add_library(tessera_warnings INTERFACE)
target_compile_options(tessera_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # Guesses about inlined library code, mostly false at -O3 (GCC bug 105329 and its kin); the address sanitizer knows.
  target_compile_options(tessera_warnings INTERFACE -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds)
endif()
if(TESSERA_WERROR)
  target_compile_options(tessera_warnings INTERFACE -Werror)
endif()
if(TESSERA_SANITIZE)
  add_compile_options(-fsanitize=${TESSERA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${TESSERA_SANITIZE})
else()
  # A shared library's own calls may be inlined: nothing interposes them.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fno-semantic-interposition>)
endif()

# Every source in a folder and below belongs to its target, except those named by regular expressions; a new file
# needs no edit here.
function(tessera_sources target)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(left_out ${ARGN})
    list(FILTER sources EXCLUDE REGEX ${left_out})
  endforeach()
  target_sources(${target} PRIVATE ${sources})
endfunction()

# Highway compiles each kernel for several instruction sets and picks one at run time; these are left out because
# hardly any machine would pick them.
add_compile_definitions(HWY_DISABLED_TARGETS=HWY_SSSE3)
