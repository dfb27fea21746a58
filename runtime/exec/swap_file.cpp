// Reading and writing places in an unnamed file.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/swap_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

int open_unnamed(const std::string& folder) {
  int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return descriptor;
  std::string name = folder + "/tessera-swap-XXXXXX";  // the file system knows no unnamed files
  descriptor = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor >= 0) ::unlink(name.c_str());
  return descriptor;
}

}  // namespace

SwapFile::SwapFile(std::string folder) : folder_(std::move(folder)) {
  struct stat about{};
  if (::stat(folder_.c_str(), &about) != 0)
    throw error("run.swap = {}: {}; name a folder that is there", shown(folder_), std::strerror(errno));
  if (!S_ISDIR(about.st_mode)) throw error("run.swap = {}: is no folder", shown(folder_));
  descriptor_ = open_unnamed(folder_);
  if (descriptor_ < 0) throw error("run.swap = {}: takes no file: {}", shown(folder_), std::strerror(errno));
}

SwapFile::~SwapFile() { ::close(descriptor_); }

void SwapFile::reserve(int64_t bytes) {
  if (bytes <= reserved_) return;
  int problem = 0;
  do {
    problem = ::fallocate(descriptor_, 0, 0, bytes) == 0 ? 0 : errno;
  } while (problem == EINTR);
  if (problem == ENOSPC || problem == EFBIG || problem == EDQUOT)
    throw error("run.swap = {}: has no room for {}: {}; name another folder, or allow more run.host_memory",
                shown(folder_), bytes_text(bytes), std::strerror(problem));
  reserved_ = bytes;  // a file system that cannot promise room says so when it is written to
}

int64_t SwapFile::take(int64_t bytes) {
  if (auto found = free_.find(bytes); found != free_.end()) return free_.extract(found).mapped();
  return std::exchange(end_, end_ + bytes);
}

void SwapFile::give_back(int64_t at, int64_t bytes) { free_.emplace(bytes, at); }

void SwapFile::write(int64_t at, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      throw failure("{}: cannot swap out: {}", shown(folder_), std::strerror(n < 0 ? errno : ENOSPC));
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += n;
  }
}

void SwapFile::read(int64_t at, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pread(descriptor_, bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw failure("{}: cannot swap in: {}", shown(folder_), std::strerror(n < 0 ? errno : EIO));
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += n;
  }
}

}  // namespace tessera
