// The in-process engine: a pool of threads under a policy of ours. For tests and sanitizers.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <deque>
#include <queue>
#include <semaphore>
#include <thread>

#include "runtime/exec/engine.hpp"
#include "runtime/sched/dispatcher.hpp"

namespace tessera {
namespace {

// The most urgent ready task; first come, first served among equals. Stands in for StarPU's schedulers.
class MostUrgent final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load&) override { ready_.push({task.priority, --order_, &task}); }
  const ReadyTask* next(WorkerId, const Load&) override {
    if (ready_.empty()) return nullptr;
    const ReadyTask* task = std::get<2>(ready_.top());
    ready_.pop();
    return task;
  }

 private:
  std::priority_queue<std::tuple<int, int64_t, const ReadyTask*>> ready_;
  int64_t order_ = 0;
};

struct ThreadTask final : DispatchTask {
  TaskRunner* runner = nullptr;
  int index = 0;
  std::vector<TaskAccess> list;
  std::vector<void*> pointers;
};

// Cores that share one memory; each sleeps on a semaphore.
class ThreadPlace final : public Workplace {
 public:
  explicit ThreadPlace(int workers) {
    for (int w = 0; w < workers; ++w) {
      workers_.push_back({WorkerKind::cpu, w, 0});
      sleepers_.emplace_back(0);
    }
  }
  double now() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  const std::vector<Worker>& workers() const override { return workers_; }
  std::optional<Expected> expected(const ReadyTask& task, WorkerId) const override {
    return Expected{.seconds = nominal_seconds(task)};
  }
  int64_t missing_bytes(const ReadyTask&, WorkerId) const override { return 0; }
  double transfer_seconds(const ReadyTask&, WorkerId) const override { return 0; }
  void wake(WorkerId worker) override { sleepers_[static_cast<size_t>(worker)].release(); }
  void fail(const ReadyTask& task, const std::string& message) noexcept override {
    static_cast<const ThreadTask&>(task).runner->failed(message);
  }
  void sleep(WorkerId worker) { sleepers_[static_cast<size_t>(worker)].acquire(); }

 private:
  std::vector<Worker> workers_;
  std::deque<std::counting_semaphore<>> sleepers_;
};

class ThreadTasks final : public TaskSet {
 public:
  ThreadTasks(Dispatcher& dispatcher, size_t count) : dispatcher_(dispatcher), tasks_(count) {}
  void submit(int task, int) override { dispatcher_.ready(tasks_[static_cast<size_t>(task)]); }
  std::vector<ThreadTask>& tasks() { return tasks_; }

 private:
  Dispatcher& dispatcher_;
  std::vector<ThreadTask> tasks_;
};

class ThreadEngine final : public Engine {
 public:
  ThreadEngine(const EngineOptions& options, std::unique_ptr<Scheduler> policy)
      : place_(options.workers),
        dispatcher_(policy ? std::move(policy) : std::make_unique<MostUrgent>(), place_,
                    {options.scheduler, options.patience, options.explain}) {
    for (int worker = 0; worker < options.workers; ++worker)
      threads_.emplace_back([this, worker] { work(worker); });
  }
  ~ThreadEngine() override {
    stopping_ = true;
    for (int worker = 0; worker < workers(); ++worker) place_.wake(worker);
    for (std::thread& thread : threads_) thread.join();
  }

  std::string name() const override { return "threads"; }
  int workers() const override { return static_cast<int>(threads_.size()); }

  BufferId add_buffer(void* memory, size_t bytes) override {
    memory_.emplace_back(memory, bytes);
    return static_cast<int>(memory_.size()) - 1;
  }
  void remove_buffer(BufferId) override {}
  void acquire(BufferId, Mode) override {}
  void release(BufferId) override {}
  std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) override;

 private:
  void work(int worker);

  std::vector<std::pair<void*, size_t>> memory_;
  ThreadPlace place_;
  Dispatcher dispatcher_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

std::unique_ptr<TaskSet> ThreadEngine::prepare(std::vector<EngineTask> tasks, TaskRunner& runner) {
  auto set = std::make_unique<ThreadTasks>(dispatcher_, tasks.size());
  for (size_t t = 0; t < tasks.size(); ++t) {
    ThreadTask& task = set->tasks()[t];
    describe(tasks[t], task);
    task.runner = &runner;
    task.index = static_cast<int>(t);
    for (const EngineAccess& access : tasks[t].accesses) {
      const auto& [pointer, bytes] = memory_[static_cast<size_t>(access.buffer)];
      task.pointers.push_back(pointer);
      task.list.push_back(seen_by_policies(access, bytes));
    }
    task.accesses = task.list;
  }
  return set;
}

void ThreadEngine::work(int worker) {
  while (!stopping_) {
    auto* task = static_cast<ThreadTask*>(dispatcher_.next(worker));
    if (task == nullptr) {
      place_.sleep(worker);
      continue;
    }
    dispatcher_.started(*task);
    TaskRunner* runner = task->runner;
    const int index = task->index;
    runner->run(index, worker, task->pointers.data());
    dispatcher_.done(*task, worker);
    runner->finished(index, worker);
  }
}

}  // namespace

std::unique_ptr<Engine> make_thread_engine(const EngineOptions& options, std::unique_ptr<Scheduler> policy) {
  return std::make_unique<ThreadEngine>(options, std::move(policy));
}

}  // namespace tessera
