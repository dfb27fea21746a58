// Memory for tiles: mapped, so that it is zero, page-aligned and eligible for huge pages.
// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <utility>

#include "runtime/core/error.hpp"
#include "runtime/exec/session.hpp"

namespace tessera {

Memory::Memory(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw failure("cannot get {} MiB of memory", bytes >> 20);
  madvise(p, bytes, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(p);
}

Memory::~Memory() {
  if (data_) munmap(data_, size_);
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace tessera
