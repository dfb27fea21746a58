// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/device_copies.hpp"

#include <utility>

namespace tessera {

DeviceCopies::~DeviceCopies() {
  for (const Buffer& buffer : buffers_)
    if (buffer.there) queue_.deallocate(buffer.there);
}

BufferId DeviceCopies::add(void* memory, size_t bytes) {
  std::lock_guard lock(mutex_);
  buffers_.push_back({.here = memory, .bytes = bytes});
  return static_cast<BufferId>(buffers_.size()) - 1;
}

void DeviceCopies::remove(BufferId buffer) {
  std::lock_guard lock(mutex_);
  const Buffer gone = std::exchange(buffers_[static_cast<size_t>(buffer)], {});
  if (gone.there) queue_.deallocate(gone.there);
}

void DeviceCopies::to_host(Buffer& buffer) {
  queue_.download(buffer.here, buffer.there, buffer.bytes);
  buffer.here_valid = true;
  moved_ += static_cast<int64_t>(buffer.bytes);
}

void DeviceCopies::allocate(Buffer& buffer) {
  try {
    buffer.there = queue_.allocate(buffer.bytes);
  } catch (const Failure&) {
    queue_.finish();
    for (Buffer& other : buffers_) {
      if (!other.there || other.used == tasks_) continue;
      if (!other.here_valid) to_host(other);
      queue_.deallocate(std::exchange(other.there, nullptr));
      other.there_valid = false;
    }
    buffer.there = queue_.allocate(buffer.bytes);
  }
}

void* DeviceCopies::on_device(Buffer& buffer, Mode mode) {
  if (!buffer.there) allocate(buffer);
  if (!buffer.there_valid && mode != Mode::write) {
    queue_.upload(buffer.there, buffer.here, buffer.bytes);
    moved_ += static_cast<int64_t>(buffer.bytes);
  }
  buffer.there_valid = true;
  if (mode != Mode::read) buffer.here_valid = false;
  return buffer.there;
}

void* DeviceCopies::on_host(Buffer& buffer, Mode mode) {
  if (!buffer.here_valid && mode != Mode::write) to_host(buffer);
  buffer.here_valid = true;
  if (mode != Mode::read) buffer.there_valid = false;
  return buffer.here;
}

std::vector<void*> DeviceCopies::place(std::span<const EngineAccess> accesses, bool device,
                                       TaskRunner& runner) noexcept {
  std::vector<void*> pointers;
  pointers.reserve(accesses.size());
  try {
    std::lock_guard lock(mutex_);
    const auto of = [&](const EngineAccess& access) -> Buffer& {
      return buffers_[static_cast<size_t>(access.buffer)];
    };
    if (device) ++tasks_;
    for (const EngineAccess& access : accesses)
      if (device) of(access).used = tasks_;
    for (const EngineAccess& access : accesses)
      pointers.push_back(device ? on_device(of(access), access.mode) : on_host(of(access), access.mode));
  } catch (const std::exception& why) {
    runner.failed(why.what());
    pointers.resize(accesses.size());  // the task does nothing any more
  }
  return pointers;
}

void DeviceCopies::acquire(BufferId buffer, Mode mode) {
  std::lock_guard lock(mutex_);
  on_host(buffers_[static_cast<size_t>(buffer)], mode);
}

int64_t DeviceCopies::bytes_moved() const {
  std::lock_guard lock(mutex_);
  return moved_;
}

}  // namespace tessera
