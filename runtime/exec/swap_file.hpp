// Room on a disk for buffers that do not lie in main memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace tessera {

// A file without a name in the given folder: nothing is left of it when the process ends, however it ends.
class SwapFile {
 public:
  explicit SwapFile(std::string folder);  // Error where the folder is missing or takes no file
  SwapFile(const SwapFile&) = delete;
  SwapFile& operator=(const SwapFile&) = delete;
  ~SwapFile();

  // Makes sure of room for so many bytes; Error where the disk has not as much.
  void reserve(int64_t bytes);

  // Places in the file; each has the size that it was taken with.
  int64_t take(int64_t bytes);
  void give_back(int64_t at, int64_t bytes);

  // Failure where the disk fails.
  void write(int64_t at, std::span<const std::byte> bytes);
  void read(int64_t at, std::span<std::byte> bytes);

  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  int descriptor_ = -1;
  int64_t end_ = 0, reserved_ = 0;
  std::multimap<int64_t, int64_t> free_;  // places by size
};

}  // namespace tessera
