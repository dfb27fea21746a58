// Runs a program's tests in surroundings of their own: what StarPU learns in tests stays out of the user's.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/paths.hpp"

#ifdef __SANITIZE_THREAD__
// oneDNN is not built with the sanitizer, which therefore does not see its locks.
extern "C" const char* __tsan_default_suppressions() { return "race:libdnnl.so\n"; }
#endif

int main(int argc, char** argv) {
  const std::string home = tessera::test::built_path(TESSERA_TEST_HOME, "tests/home");
  setenv("STARPU_HOME", home.c_str(), 0);
  setenv("TESSERA_CACHE", (home + "/cache").c_str(), 0);
  setenv("STARPU_SILENT", "1", 0);
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);  // containers
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
  testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  const testing::UnitTest& run = *testing::UnitTest::GetInstance();
  const bool all_skipped = run.test_to_run_count() > 0 && run.skipped_test_count() == run.test_to_run_count();
  return all_skipped && failed == 0 ? 77 : failed;  // ctest then says "Skipped"
}
