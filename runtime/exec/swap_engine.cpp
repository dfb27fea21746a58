// An engine within a limit on main memory: buffers that are not needed for a while lie in a file.
// SPDX-License-Identifier: Apache-2.0
//
//   executor ─ submit ─▶ [ ready, in plan order ] ─ pager ─▶ engine ─▶ workers ─ finished ─▶ pager, executor
//                                                    │
//                                            file ◀──┴──▶ memory
//
// A buffer keeps its address; its pages are given back to the system when it leaves. A task goes to the
// engine only when all its buffers are here and pinned, so whatever the engine has can run, and when it has
// nothing there is room for any one task: no order of events waits for itself. One thread, the pager, moves
// all bytes.
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <queue>
#include <thread>

#include "runtime/core/error.hpp"
#include "runtime/exec/engine.hpp"
#include "runtime/exec/residency.hpp"
#include "runtime/exec/spill.hpp"
#include "runtime/exec/swap_file.hpp"

namespace tessera {
namespace {

class SwapTasks;

// A plan's task sets take turns, step by step.
struct Turns {
  Cycle cycle;
  int64_t n_tasks = 0;
  int sets = 0;
};

class SwapEngine final : public Engine {
 public:
  SwapEngine(std::unique_ptr<Engine> engine, HostLimit limit, std::function<int64_t()> resident)
      : engine_(std::move(engine)),
        limit_(std::move(limit)),
        resident_(std::move(resident)),
        window_(2 * static_cast<size_t>(engine_->workers())) {
    if (!limit_.swap.empty()) file_.emplace(limit_.swap);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);  // large blocks go back to the system when they are freed
    thread_ = std::thread([this] { work(); });
  }
  ~SwapEngine() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  std::string name() const override { return engine_->name(); }
  int workers() const override { return engine_->workers(); }
  std::string worker_name(int worker) const override { return engine_->worker_name(worker); }
  int64_t bytes_moved(int worker) const override { return engine_->bytes_moved(worker); }
  DeviceQueue* queue(int worker) override { return engine_->queue(worker); }
  bool asynchronous() const override { return engine_->asynchronous(); }
  PerformanceModel* model() override { return engine_->model(); }
  int kind(int worker) const override { return engine_->kind(worker); }

  bool expect(const Plan& plan, const MemoryNeed& need) override {
    std::lock_guard lock(mutex_);
    const int64_t tiles = books_.bytes() + need.total() - need.engine;
    base_ = std::max<int64_t>(0, resident_() - books_.bytes_here()) + need.engine;
    check_host_limit(plan, limit_, base_, tiles);
    tight_ = base_ + tiles > limit_.bytes;
    if (tight_) file_->reserve(tiles);
    turns_ = std::make_shared<Turns>();
    return true;
  }

  BufferId add_buffer(void* memory, size_t bytes) override {
    const BufferId buffer = engine_->add_buffer(memory, bytes);
    madvise(memory, bytes, MADV_NOHUGEPAGE);  // else pages of neighbours come along
    std::lock_guard lock(mutex_);
    books_.add(buffer, static_cast<int64_t>(bytes));
    if (static_cast<size_t>(buffer) >= memory_.size()) memory_.resize(static_cast<size_t>(buffer) + 1);
    memory_[static_cast<size_t>(buffer)] = {{static_cast<std::byte*>(memory), bytes}, -1};
    if (file_) memory_[static_cast<size_t>(buffer)].place = file_->take(static_cast<int64_t>(bytes));
    return buffer;
  }
  void set_temporary(BufferId buffer) override {
    std::lock_guard lock(mutex_);
    books_[buffer].temporary = true;
  }
  void remove_buffer(BufferId buffer) override {
    {
      std::unique_lock lock(mutex_);
      served_.wait(lock, [&] { return leaving_ != buffer; });
      const Place& place = memory_[static_cast<size_t>(buffer)];
      if (file_) file_->give_back(place.place, static_cast<int64_t>(place.bytes.size()));
      books_.remove(buffer);
    }
    engine_->remove_buffer(buffer);
  }

  void acquire(BufferId buffer, Mode mode) override {
    Request request{.list = {{buffer, mode}}};
    {
      std::unique_lock lock(mutex_);
      if (here(request.list)) {
        pin(request);
      } else {
        host_.push_back(&request);
        changed_.notify_all();
        served_.wait(lock, [&] { return request.served; });
        if (!problem_.empty()) {
          unpin(request.list);
          throw Failure(problem_);
        }
      }
    }
    engine_->acquire(buffer, mode);
  }
  void release(BufferId buffer) override {
    engine_->release(buffer);
    std::lock_guard lock(mutex_);
    --books_[buffer].pins;
    changed_.notify_all();
  }

  std::unique_ptr<TaskSet> prepare(std::vector<EngineTask> tasks, TaskRunner& runner) override;

 private:
  friend class SwapTasks;
  struct Place {
    std::span<std::byte> bytes;
    int64_t place = -1;  // in the file
  };
  // Buffers that are to be here: for a task, or for the host.
  struct Request {
    std::vector<EngineAccess> list;
    SwapTasks* set = nullptr;
    int task = 0;
    int kind = any_kind;  // of the worker, where that is prescribed
    int64_t at = 0;       // in the order of all steps
    bool served = false;
  };
  struct Later {
    bool operator()(const Request& a, const Request& b) const { return a.at > b.at; }
  };

  size_t window() const { return tight_ ? window_ : SIZE_MAX; }
  bool here(std::span<const EngineAccess> list) {
    return std::ranges::all_of(list, [&](const EngineAccess& a) { return books_[a.buffer].here; });
  }
  void submit(Request request);
  void finished(std::span<const EngineAccess> list);
  void pin(const Request& request);
  void unpin(std::span<const EngineAccess> list) {
    for (const EngineAccess& access : list) --books_[access.buffer].pins;
  }
  void pass_on(Request& request);
  void work();
  void serve(Request& request, std::unique_lock<std::mutex>& lock);
  void bring(const Request& request, std::unique_lock<std::mutex>& lock);
  void make_room(int64_t missing, std::unique_lock<std::mutex>& lock);
  void evict(int buffer, std::unique_lock<std::mutex>& lock);

  std::unique_ptr<Engine> engine_;
  const HostLimit limit_;
  const std::function<int64_t()> resident_;
  std::optional<SwapFile> file_;
  const size_t window_;  // tasks in the engine at once: few, so that they begin in about the plan's order
  std::mutex mutex_;
  std::condition_variable changed_, served_;
  Residency books_;
  std::vector<Place> memory_;  // per buffer
  int64_t base_ = 0;           // what the process has without tiles
  bool tight_ = false;         // there are more tiles than fit
  std::shared_ptr<Turns> turns_;
  const Cycle* running_ = nullptr;
  std::priority_queue<Request, std::vector<Request>, Later> ready_;
  std::deque<Request*> host_;
  size_t in_engine_ = 0;
  BufferId leaving_ = -1;
  bool stopping_ = false;
  std::string problem_;
  std::thread thread_;
};

class SwapTasks final : public TaskSet, public TaskRunner {
 public:
  SwapTasks(SwapEngine& engine, std::vector<EngineTask> tasks, TaskRunner& runner)
      : engine_(engine), turns_(engine.turns_), runner_(runner), rounds_(tasks.size(), 0) {
    {
      std::lock_guard lock(engine_.mutex_);
      set_ = turns_->sets++;
      turns_->n_tasks = static_cast<int64_t>(tasks.size());
      turns_->cycle.length = turns_->n_tasks * turns_->sets;
      for (size_t t = 0; t < tasks.size(); ++t) {
        accesses_.push_back(tasks[t].accesses);
        for (const EngineAccess& access : tasks[t].accesses)
          engine_.books_.expect(
              access.buffer, turns_->cycle,
              {set_ * turns_->n_tasks + static_cast<int64_t>(t), access.mode == Mode::write});
      }
    }
    tasks_ = engine_.engine_->prepare(std::move(tasks), *this);
  }
  ~SwapTasks() override {
    tasks_.reset();
    std::lock_guard lock(engine_.mutex_);
    if (--turns_->sets > 0) return;
    engine_.books_.forget(turns_->cycle);
    if (engine_.running_ == &turns_->cycle) engine_.running_ = nullptr;
  }

  void submit(int task, int kind) override {
    const auto t = static_cast<size_t>(task);
    const int64_t round = rounds_[t]++;
    engine_.submit({.list = accesses_[t],
                    .set = this,
                    .task = task,
                    .kind = kind,
                    .at = round * turns_->cycle.length + set_ * turns_->n_tasks + task});
  }
  void pass_on(int task, int kind) { tasks_->submit(task, kind); }
  const Cycle& cycle() const { return turns_->cycle; }

  void run(int task, int worker, void* const* pointers) noexcept override {
    runner_.run(task, worker, pointers);
  }
  void finished(int task, int worker) noexcept override {
    engine_.finished(accesses_[static_cast<size_t>(task)]);
    runner_.finished(task, worker);
  }
  void failed(const std::string& message) noexcept override { runner_.failed(message); }

 private:
  SwapEngine& engine_;
  std::shared_ptr<Turns> turns_;
  TaskRunner& runner_;
  int set_ = 0;
  std::vector<std::vector<EngineAccess>> accesses_;
  std::vector<int64_t> rounds_;
  std::unique_ptr<TaskSet> tasks_;
};

std::unique_ptr<TaskSet> SwapEngine::prepare(std::vector<EngineTask> tasks, TaskRunner& runner) {
  return std::make_unique<SwapTasks>(*this, std::move(tasks), runner);
}

void SwapEngine::submit(Request request) {
  {
    std::lock_guard lock(mutex_);
    running_ = &request.set->cycle();
    if (!ready_.empty() || in_engine_ >= window() || !here(request.list)) {
      ready_.push(std::move(request));
      changed_.notify_all();
      return;
    }
    pin(request);
  }
  request.set->pass_on(request.task, request.kind);
}

void SwapEngine::finished(std::span<const EngineAccess> list) {
  std::lock_guard lock(mutex_);
  unpin(list);
  --in_engine_;
  changed_.notify_all();
}

void SwapEngine::pin(const Request& request) {
  for (const EngineAccess& access : request.list) {
    ++books_[access.buffer].pins;
    if (request.set)
      books_.begin(access.buffer, request.set->cycle(), access.mode);
    else if (access.mode != Mode::read)
      books_[access.buffer].changed = true;
  }
  if (request.set) ++in_engine_;
}

void SwapEngine::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock,
                  [&] { return stopping_ || !host_.empty() || (!ready_.empty() && in_engine_ < window()); });
    if (stopping_) return;
    if (!host_.empty()) {
      Request* request = host_.front();
      host_.pop_front();
      serve(*request, lock);
      request->served = true;
      served_.notify_all();
    } else {
      Request request = ready_.top();
      ready_.pop();
      serve(request, lock);
      lock.unlock();
      if (!problem_.empty()) request.set->failed(problem_);  // what runs after that does nothing
      request.set->pass_on(request.task, request.kind);
      lock.lock();
    }
  }
}

// The disk's first failure is every later request's as well: what was to be read is not there.
void SwapEngine::serve(Request& request, std::unique_lock<std::mutex>& lock) {
  try {
    if (problem_.empty()) bring(request, lock);
  } catch (const std::exception& problem) {
    if (!lock.owns_lock()) lock.lock();
    problem_ = problem.what();
  }
  pin(request);
}

void SwapEngine::bring(const Request& request, std::unique_lock<std::mutex>& lock) {
  int64_t missing = 0;
  for (const EngineAccess& access : request.list) {
    ++books_[access.buffer].pins;  // so that none of them makes room for another
    if (!books_[access.buffer].here) missing += books_[access.buffer].bytes;
  }
  struct Unpin {
    SwapEngine& engine;
    std::span<const EngineAccess> list;
    ~Unpin() { engine.unpin(list); }
  } unpin_after{*this, request.list};
  if (missing > 0) make_room(missing, lock);
  for (const EngineAccess& access : request.list) {
    Residency::Buffer& buffer = books_[access.buffer];
    if (buffer.here) continue;
    if (buffer.stored && access.mode != Mode::write) {
      const Place place = memory_[static_cast<size_t>(access.buffer)];
      lock.unlock();
      file_->read(place.place, place.bytes);
      lock.lock();
    }
    books_.arrive(access.buffer);
  }
}

// Without a victim it waits for tasks that run; where none does, there is nothing left to give up.
void SwapEngine::make_room(int64_t missing, std::unique_lock<std::mutex>& lock) {
  const auto fits = [&] {
    return books_.bytes_here() + missing + base_ <= limit_.bytes && resident_() + missing <= limit_.bytes;
  };
  while (!fits()) {
    const int victim = file_ ? books_.farthest(running_) : -1;
    if (victim >= 0) {
      evict(victim, lock);
    } else {
      if (in_engine_ == 0) return;
      changed_.wait(lock);
    }
  }
}

// The engine's copy in main memory is made the valid one first, so that it keeps none elsewhere alone.
void SwapEngine::evict(int victim, std::unique_lock<std::mutex>& lock) {
  const bool lost = books_.lost(victim);
  const bool store = !lost && books_[victim].changed;
  const Place place = memory_[static_cast<size_t>(victim)];
  books_.leave(victim);
  leaving_ = victim;
  lock.unlock();
  engine_->acquire(victim, lost ? Mode::write : Mode::read);
  try {
    if (store) file_->write(place.place, place.bytes);
  } catch (...) {
    engine_->release(victim);
    lock.lock();
    leaving_ = -1;
    served_.notify_all();
    books_.arrive(victim);
    throw;
  }
  madvise(place.bytes.data(), place.bytes.size(), MADV_DONTNEED);
  engine_->release(victim);
  lock.lock();
  leaving_ = -1;
  served_.notify_all();
  Residency::Buffer& buffer = books_[victim];
  buffer.stored = !lost;
  buffer.changed = lost;
}

}  // namespace

std::unique_ptr<Engine> make_swap_engine(std::unique_ptr<Engine> engine, const HostLimit& limit,
                                         std::function<int64_t()> resident) {
  return std::make_unique<SwapEngine>(std::move(engine), limit, std::move(resident));
}

}  // namespace tessera
