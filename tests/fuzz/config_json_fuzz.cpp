// Any text is a config.json that can be written and read back equal, or is refused by an Error.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string_view>

#include "models/config/hf_config.hpp"
#include "runtime/core/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tessera;
  HfConfig config;
  try {
    config = parse_hf_config({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const Error&) {
    return 0;
  }
  if (parse_hf_config(hf_config_json(config), "again") != config) std::abort();
  return 0;
}
