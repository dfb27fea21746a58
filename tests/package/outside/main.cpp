// A program outside Tessera's tree: it sees the installed headers and links the installed library.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "runtime/core/dtype.hpp"
#include "runtime/core/error.hpp"

int main() {
  try {
    tessera::dtype_named("f31");
  } catch (const tessera::Error& e) {
    std::puts(e.what());
    return 0;
  }
  return 1;
}
