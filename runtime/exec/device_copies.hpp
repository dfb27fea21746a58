// Buffers of the main memory and their copies on one device, each where it was used last.
// SPDX-License-Identifier: Apache-2.0
//
// Which of the two holds the last value is known, and the other one is brought up to date when it is used. A
// buffer gets its copy when the device first uses it. Where the device has no room for one more, all buffers
// that the task at hand does not need leave it. Any thread may call this, but for tasks on
// the device only the one that drives the queue.
#pragma once

#include <mutex>
#include <span>
#include <vector>

#include "runtime/device/queue.hpp"
#include "runtime/exec/engine.hpp"

namespace tessera {

class DeviceCopies {
 public:
  explicit DeviceCopies(DeviceQueue& queue) : queue_(queue) {}
  ~DeviceCopies();
  DeviceCopies(const DeviceCopies&) = delete;
  DeviceCopies& operator=(const DeviceCopies&) = delete;

  BufferId add(void* memory, size_t bytes);
  void remove(BufferId buffer);

  // Where a task finds its buffers, in the order of its accesses: on the device in place for what is launched
  // from now on. What goes wrong the runner is told, such as that the device has no room even for this task.
  std::vector<void*> place(std::span<const EngineAccess> accesses, bool on_device,
                           TaskRunner& runner) noexcept;
  void acquire(BufferId buffer, Mode mode);  // on the host

  int64_t bytes_moved() const;

 private:
  struct Buffer {
    void *here = nullptr, *there = nullptr;
    size_t bytes = 0;
    bool here_valid = true, there_valid = false;
    int64_t used = 0;  // by which of the tasks on the device
  };
  void* on_device(Buffer& buffer, Mode mode);
  void* on_host(Buffer& buffer, Mode mode);
  void allocate(Buffer& buffer);
  void to_host(Buffer& buffer);

  DeviceQueue& queue_;
  mutable std::mutex mutex_;
  std::vector<Buffer> buffers_;
  int64_t tasks_ = 0, moved_ = 0;
};

}  // namespace tessera
