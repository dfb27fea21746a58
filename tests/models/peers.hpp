// The Python that the tests against peers run, where it has the packages they need.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace tessera::test {

struct Peers {
  std::string python, missing;  // `missing` says why there are none; the caller then skips
};

// `packages`: "torch, transformers"
inline Peers peers_with(std::string_view packages) {
  const char* python = std::getenv("TESSERA_PEERS_PYTHON");
  if (!python)
    return {"", fmt::format("TESSERA_PEERS_PYTHON is not set: no Python with {} to compare with", packages)};
  const std::string look = fmt::format(
      "'{}' -c 'import importlib.util, sys; sys.exit(any(importlib.util.find_spec(p.strip()) is None for "
      "p in \"{}\".split(\",\")))'",
      python, packages);
  if (std::system(look.c_str()) != 0)
    return {"", fmt::format("the Python at TESSERA_PEERS_PYTHON has no {}", packages)};
  return {python, ""};
}

}  // namespace tessera::test
