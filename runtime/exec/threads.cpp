// The in-process engine: a pool of threads that take the most urgent ready task. For tests and sanitizers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <queue>
#include <thread>

#include "runtime/exec/engine.hpp"

namespace tessera {
namespace {

class ThreadTasks;

struct Ready {
  int priority;
  int64_t order;  // first come, first served among equals
  ThreadTasks* set;
  int task;
  bool operator<(const Ready& other) const {
    return priority != other.priority ? priority < other.priority : order > other.order;
  }
};

class ThreadEngine final : public Engine {
 public:
  explicit ThreadEngine(int workers) {
    for (int worker = 0; worker < workers; ++worker) threads_.emplace_back([this, worker] { work(worker); });
  }
  ~ThreadEngine() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::string name() const override { return "threads"; }
  int workers() const override { return static_cast<int>(threads_.size()); }

  BufferId add_buffer(void* memory, size_t) override {
    memory_.push_back(memory);
    return static_cast<int>(memory_.size()) - 1;
  }
  void remove_buffer(BufferId) override {}
  void acquire(BufferId, Mode) override {}
  void release(BufferId) override {}
  std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) override;

  void submit(ThreadTasks* set, int task, int priority) {
    {
      std::lock_guard lock(mutex_);
      ready_.push({priority, next_order_++, set, task});
    }
    changed_.notify_one();
  }
  void* memory(BufferId buffer) const { return memory_[static_cast<size_t>(buffer)]; }

 private:
  void work(int worker);

  std::vector<void*> memory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::priority_queue<Ready> ready_;
  int64_t next_order_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

class ThreadTasks final : public TaskSet {
 public:
  ThreadTasks(ThreadEngine& engine, std::vector<EngineTask> tasks, TaskRunner& runner)
      : engine_(engine), tasks_(std::move(tasks)), runner_(runner) {
    for (const EngineTask& task : tasks_) {
      pointers_.emplace_back();
      for (const EngineAccess& access : task.accesses)
        pointers_.back().push_back(engine_.memory(access.buffer));
    }
  }
  void submit(int task) override { engine_.submit(this, task, tasks_[static_cast<size_t>(task)].priority); }
  void run(int task, int worker) {
    runner_.run(task, worker, pointers_[static_cast<size_t>(task)].data());
    runner_.finished(task, worker);
  }

 private:
  ThreadEngine& engine_;
  std::vector<EngineTask> tasks_;
  std::vector<std::vector<void*>> pointers_;
  TaskRunner& runner_;
};

std::unique_ptr<TaskSet> ThreadEngine::prepare(std::vector<EngineTask> tasks, TaskRunner& runner) {
  return std::make_unique<ThreadTasks>(*this, std::move(tasks), runner);
}

void ThreadEngine::work(int worker) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
    if (ready_.empty()) return;
    const Ready next = ready_.top();
    ready_.pop();
    lock.unlock();
    next.set->run(next.task, worker);
    lock.lock();
  }
}

}  // namespace

std::unique_ptr<Engine> make_thread_engine(int workers) { return std::make_unique<ThreadEngine>(workers); }

}  // namespace tessera
