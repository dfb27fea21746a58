# Read by ctest: one test per suite of `program`, as starting a process costs more than most cases.
# SPDX-License-Identifier: Apache-2.0
execute_process(COMMAND ${program} --gtest_list_tests OUTPUT_VARIABLE list RESULT_VARIABLE failed)
if(failed)
  add_test(${folder} ${program})  # fails, and shows why
  return()
endif()
string(REGEX MATCHALL "(^|\n)[^ \n]+\\." suites "${list}")
foreach(suite ${suites})
  string(REGEX REPLACE "[\n.]" "" suite ${suite})
  add_test(${folder}.${suite} ${program} --gtest_filter=${suite}.*)
  set_tests_properties(${folder}.${suite} PROPERTIES TIMEOUT 900 SKIP_RETURN_CODE 77 ${properties})
endforeach()
