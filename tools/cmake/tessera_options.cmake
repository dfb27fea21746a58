# What a build of Tessera can choose, and the warnings every target is built with.
# SPDX-License-Identifier: Apache-2.0
option(TESSERA_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(TESSERA_WERROR "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
set(TESSERA_SANITIZE "" CACHE STRING "Sanitizers to build with: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(tessera_warnings INTERFACE)
target_compile_options(tessera_warnings INTERFACE $<BUILD_INTERFACE:-Wall -Wextra -Wshadow -Wnon-virtual-dtor>)
if(TESSERA_WERROR)
  target_compile_options(tessera_warnings INTERFACE $<BUILD_INTERFACE:-Werror>)
endif()
if(TESSERA_SANITIZE)
  target_compile_options(tessera_warnings INTERFACE
    $<BUILD_INTERFACE:-fsanitize=${TESSERA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(tessera_warnings INTERFACE $<BUILD_INTERFACE:-fsanitize=${TESSERA_SANITIZE}>)
endif()

# Every source in a folder and below belongs to its target; a new file needs no edit here.
function(tessera_sources target)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  target_sources(${target} PRIVATE ${sources})
endfunction()

# Highway compiles each kernel for several instruction sets and picks one at run time; these are left out because
# hardly any machine would pick them.
add_compile_definitions(HWY_DISABLED_TARGETS=HWY_SSSE3)
