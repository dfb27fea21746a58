// Any text is a configuration that is written and read back equal, or refused by an Error; so are overrides.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string>
#include <string_view>

#include "models/config/config.hpp"
#include "runtime/core/error.hpp"

namespace {

using namespace tessera;

constexpr std::string_view small =
    "[model]\nkind = \"gpt2\"\nlayers = 3\nheads = 4\nwidth = 128\nseq = 12\n[data]\nkind = \"addition\"\n"
    "[train]\nsteps = 24\nbatch = 12\nlr = 1e-3\n";

void read(std::string_view text, std::span<const std::string> overrides) {
  Config config;
  try {
    config = parse_config(text, "fuzz", {.overrides = overrides, .cores = 4});
  } catch (const Error&) {
    return;
  }
  if (parse_config(to_toml(config), "again", {.overrides = {}, .cores = 4}) != config) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  read(text, {});
  read(small, std::span(&text, 1));
  return 0;
}
