// The engine of one device: one thread runs ready tasks in order, on the device or beside it. For tests and
// tools.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "runtime/core/error.hpp"
#include "runtime/device/queue.hpp"
#include "runtime/exec/device_copies.hpp"

namespace tessera {
namespace {

class DeviceTasks;

class DeviceEngine final : public Engine {
 public:
  static constexpr int device_worker = 0, host_worker = 1;

  explicit DeviceEngine(std::unique_ptr<DeviceQueue> queue)
      : queue_(std::move(queue)), copies_(*queue_), thread_([this] { work(); }) {}
  ~DeviceEngine() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  std::string name() const override { return "device"; }
  int workers() const override { return 2; }
  DeviceQueue* queue(int worker) override { return worker == device_worker ? queue_.get() : nullptr; }

  BufferId add_buffer(void* memory, size_t bytes) override { return copies_.add(memory, bytes); }
  void remove_buffer(BufferId buffer) override { copies_.remove(buffer); }
  void acquire(BufferId buffer, Mode mode) override {
    std::lock_guard lock(using_device_);
    copies_.acquire(buffer, mode);
  }
  void release(BufferId) override {}
  std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) override;

  void submit(DeviceTasks* set, int task, bool on_device) {
    {
      std::lock_guard lock(mutex_);
      ready_.push_back({set, task, on_device});
    }
    changed_.notify_one();
  }

 private:
  friend class DeviceTasks;
  struct Ready {
    DeviceTasks* set;
    int task;
    bool on_device;
  };
  void work();

  std::unique_ptr<DeviceQueue> queue_;
  DeviceCopies copies_;
  std::mutex using_device_;  // the thread that drives the executor reads fetches while tasks run
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Ready> ready_;
  bool stopping_ = false;
  std::thread thread_;
};

class DeviceTasks final : public TaskSet {
 public:
  DeviceTasks(DeviceEngine& engine, std::vector<EngineTask> tasks, TaskRunner& runner)
      : engine_(engine), tasks_(std::move(tasks)), runner_(runner) {}
  void submit(int task, int kind) override {
    const bool on_device = kind == any_kind ? tasks_[static_cast<size_t>(task)].on_device
                                            : kind == engine_.kinds().of[DeviceEngine::device_worker];
    engine_.submit(this, task, on_device);
  }

  void run(int index, bool on_device) {
    const EngineTask& task = tasks_[static_cast<size_t>(index)];
    const int worker = on_device ? DeviceEngine::device_worker : DeviceEngine::host_worker;
    {
      std::lock_guard lock(engine_.using_device_);
      const std::vector<void*> pointers = engine_.copies_.place(task.accesses, on_device, runner_);
      runner_.run(index, worker, pointers.data());
    }
    runner_.finished(index, worker);
  }

 private:
  DeviceEngine& engine_;
  std::vector<EngineTask> tasks_;
  TaskRunner& runner_;
};

std::unique_ptr<TaskSet> DeviceEngine::prepare(std::vector<EngineTask> tasks, TaskRunner& runner) {
  return std::make_unique<DeviceTasks>(*this, std::move(tasks), runner);
}

void DeviceEngine::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
    if (ready_.empty()) return;
    const auto [set, task, on_device] = ready_.front();
    ready_.pop_front();
    lock.unlock();
    set->run(task, on_device);
    lock.lock();
  }
}

}  // namespace

std::unique_ptr<Engine> make_device_engine(std::unique_ptr<DeviceQueue> queue) {
  return std::make_unique<DeviceEngine>(std::move(queue));
}

}  // namespace tessera
