// Runs a program's tests in surroundings of their own: what StarPU learns while testing stays out of the user's models.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>

int main(int argc, char** argv) {
  setenv("STARPU_HOME", TESSERA_TEST_HOME, 0);
  setenv("STARPU_SILENT", "1", 0);
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);  // containers
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
