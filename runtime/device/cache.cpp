// The kernel cache: a file per binary, written beside and renamed, so that processes may share it.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/cache.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace tessera {

namespace fs = std::filesystem;

fs::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (const fs::path own = variable("TESSERA_CACHE"); !own.empty()) return own;
  if (const fs::path caches = variable("XDG_CACHE_HOME"); !caches.empty()) return caches / "tessera";
  if (const fs::path home = variable("HOME"); !home.empty()) return home / ".cache" / "tessera";
  return {};
}

std::string KernelCache::key(std::string_view source, std::string_view options, std::string_view target) {
  const std::string all = fmt::format("{}\n{}\n{}", target, options, source);
  const XXH128_hash_t hash = XXH3_128bits(all.data(), all.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// The binary's own hash follows it: half a file, or a flipped bit, is no kernel.
std::optional<std::vector<char>> KernelCache::load(const std::string& key) {
  std::ifstream file(cache_folder() / "kernels" / key, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  XXH64_hash_t stored;
  if (bytes.size() <= sizeof stored) return std::nullopt;
  const size_t size = bytes.size() - sizeof stored;
  std::copy_n(bytes.data() + size, sizeof stored, reinterpret_cast<char*>(&stored));
  if (stored != XXH3_64bits(bytes.data(), size)) return std::nullopt;
  bytes.resize(size);
  return bytes;
}

void KernelCache::store(const std::string& key, const std::vector<char>& binary) noexcept try {
  const fs::path folder = cache_folder();
  if (folder.empty()) return;
  fs::create_directories(folder / "kernels");
  const fs::path writing = folder / "kernels" / fmt::format("{}.{}", key, getpid());
  {
    std::ofstream file(writing, std::ios::binary);
    const XXH64_hash_t hash = XXH3_64bits(binary.data(), binary.size());
    file.write(binary.data(), static_cast<std::streamsize>(binary.size()));
    file.write(reinterpret_cast<const char*>(&hash), sizeof hash);
    if (!file.flush()) {
      file.close();
      fs::remove(writing);
      return;
    }
  }
  fs::rename(writing, folder / "kernels" / key);
} catch (...) {  // NOLINT(bugprone-empty-catch): the binary is at hand, only not kept
}

}  // namespace tessera
