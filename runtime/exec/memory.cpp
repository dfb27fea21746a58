// Memory for tiles: mapped, so that it is zero, page-aligned and eligible for huge pages.
// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "runtime/core/error.hpp"
#include "runtime/exec/session.hpp"

namespace tessera {

// Addresses that are handed out from the lowest on and never twice, so that what is smaller than a huge page,
// or not a multiple of one, shares some with its neighbours. Only what is touched takes memory.
class Memory::Region {
 public:
  explicit Region(size_t bytes) : size_(bytes + huge_page) {
    void* p =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw failure("cannot get {} MiB of memory", bytes >> 20);
    madvise(p, size_, MADV_HUGEPAGE);
    base_ = static_cast<std::byte*>(p);
    next_ = base_ + (huge_page - reinterpret_cast<uintptr_t>(p) % huge_page) % huge_page;
  }
  ~Region() { munmap(base_, size_); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  std::byte* take(size_t bytes) {  // null: there is no room
    if (bytes > static_cast<size_t>(base_ + size_ - next_)) return nullptr;
    return std::exchange(next_, next_ + bytes);
  }

 private:
  static constexpr size_t huge_page = size_t{2} << 20;

  size_t size_;
  std::byte *base_ = nullptr, *next_ = nullptr;
};

namespace {

size_t whole_pages(size_t bytes) {
  static const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

Memory::Memory(size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  static std::mutex mutex;
  static std::weak_ptr<Region> latest;
  const std::lock_guard lock(mutex);
  region_ = latest.lock();
  if (region_) data_ = region_->take(whole_pages(bytes));
  if (data_) return;
  latest = region_ = std::make_shared<Region>(std::max(whole_pages(bytes), size_t{64} << 20));
  data_ = region_->take(whole_pages(bytes));
}

Memory::~Memory() {
  if (data_) madvise(data_, whole_pages(size_), MADV_DONTNEED);
}

Memory::Memory(Memory&& other) noexcept
    : region_(std::move(other.region_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(region_, other.region_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace tessera
