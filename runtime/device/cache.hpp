// Compiled device kernels on disk, by the hash of everything that went into them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// The user's cache folder: $TESSERA_CACHE, else tessera/ in $XDG_CACHE_HOME or ~/.cache; empty where there is
// none.
std::filesystem::path cache_folder();

class KernelCache {
 public:
  // What the source is compiled with and for: options, device, driver or compiler version.
  static std::string key(std::string_view source, std::string_view options, std::string_view target);

  static std::optional<std::vector<char>> load(const std::string& key);
  // A folder that cannot be written only costs the next start its compilation.
  static void store(const std::string& key, const std::vector<char>& binary) noexcept;
};

}  // namespace tessera
