// What tests run and read: where the build put it, or in the bundle that TESSERA_BUNDLE names.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string>

namespace tessera::test {

// "tests/goldens" of the sources, of which a bundle has some.
inline std::string source_path(const std::string& path) {
  const char* bundle = std::getenv("TESSERA_BUNDLE");
  return (bundle ? bundle : TESSERA_SOURCE_DIR) + ("/" + path);
}

// A file of the build, or where a bundle has it.
inline std::string built_path(const char* built, const std::string& bundled) {
  const char* bundle = std::getenv("TESSERA_BUNDLE");
  return bundle ? bundle + ("/" + bundled) : built;
}

}  // namespace tessera::test
