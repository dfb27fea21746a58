# Installs the build in BUILD below WORK, then builds and runs outside/ and a policy with nothing but that.
# SPDX-License-Identifier: Apache-2.0
set(flags "")
if(SANITIZE)
  set(flags -fsanitize=${SANITIZE})
endif()
function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${WORK}/prefix ${WORK}/outside)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR}/outside -B ${WORK}/outside -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${flags})
run(${CMAKE_COMMAND} --build ${WORK}/outside)
run(${WORK}/outside/outside)

# The policy in examples/policy, built with nothing but the package as well, under a training run of it.
set(policy ${CMAKE_CURRENT_LIST_DIR}/../../examples/policy)
file(REMOVE_RECURSE ${WORK}/policy ${WORK}/model)
run(${CMAKE_COMMAND} -S ${policy} -B ${WORK}/policy -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${flags})
run(${CMAKE_COMMAND} --build ${WORK}/policy)
if(SANITIZE STREQUAL "thread")
  return()  # it cannot see into StarPU
endif()
file(WRITE ${WORK}/policy/sums.toml "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 2\nwidth = 32\nseq = 10
[data]\nkind = \"addition\"\ndigits = 2\n[train]\nsteps = 3\nbatch = 8\nlr = 1e-3\n[run]\nworkers = 1\n")
run(${WORK}/prefix/bin/tessera train ${WORK}/policy/sums.toml --out ${WORK}/model
    --scheduler ${WORK}/policy/libhomebody.so:homebody --explain-placement ${WORK}/policy/why.jsonl)
file(STRINGS ${WORK}/policy/why.jsonl why REGEX "bytes are not there yet")
if(NOT why)
  message(FATAL_ERROR "homebody did not explain a single task")
endif()
