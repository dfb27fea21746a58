// The executor: replays a plan in a session, step after step, with its own dependency counters.
// SPDX-License-Identifier: Apache-2.0
//
// Every task counts its missing predecessors, those of its own step and those of the step before. Whoever
// finishes a task decrements its successors and submits the ones that reach zero, so steps overlap without
// anyone waiting, as long as the caller starts the next step before it looks at what the last one gave.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/exec/session.hpp"

namespace tessera {

// Host values for one input, row by row, in the input's dtype; they must stay until run() returns.
struct Feed {
  Tensor tensor;
  const void* data;
  size_t bytes;
  std::optional<DType> dtype = {};  // where the values' type says it

  template <class T>
  Feed(Tensor t, const std::vector<T>& values)
      : tensor(t), data(values.data()), bytes(values.size() * sizeof(T)) {
    if (std::is_same_v<T, float>) dtype = DType::f32;
    if (std::is_same_v<T, int32_t>) dtype = DType::i32;
    if (std::is_same_v<T, bf16>) dtype = DType::bf16;
  }
};

// When a stage ran, for traces. Times are std::chrono::steady_clock's nanoseconds.
struct Record {
  int64_t step;
  int task, stage, worker;
  int64_t begin, end;
};

struct StepStart {
  int64_t step, at;
};

struct ExecutorOptions {
  bool record = false;        // keep a Record per stage and a StepStart per step
  bool check_finite = false;  // name the first task that writes a NaN or an infinity
  bool poison = false;  // fill what a task is about to write with NaN: finds wrong access modes and lifetimes
  bool strict_devices = false;  // a device kernel that does not compile is a failure, not a warning
};

// Driven by one thread at a time; that thread also drives the session.
class Executor {
 public:
  // A step that was started. Valid while its executor lives.
  class Step {
   public:
    void wait() const;                            // rethrows the first failure
    std::vector<float> get(Tensor tensor) const;  // a fetched tensor, row by row, as f32
    std::vector<int32_t> get_i32(Tensor tensor) const;
    float scalar(Tensor tensor) const { return get(tensor)[0]; }
    // The kind of worker that ran each task, as a letter: see kinds.hpp.
    const std::string& kinds() const;

   private:
    friend class Executor;
    Executor* executor_ = nullptr;
    int64_t index_ = 0;
    struct Outcome {  // filled when the step is collected
      bool collected = false;
      std::vector<std::vector<std::byte>> values;  // per fetch
      std::string kinds;                           // per task
    };
    std::shared_ptr<Outcome> outcome_;
  };

  Executor(Session& session, Plan plan, const ExecutorOptions& options = {});
  ~Executor();  // waits
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Starts one step; waits only while two are still running. Rethrows the first failure of an earlier one.
  // Where `kinds` is not empty, each task runs on a worker of that kind: what an earlier step's kinds() said.
  Step run(std::span<const Feed> feeds = {}, const std::string& kinds = {});
  Step run(std::initializer_list<Feed> feeds) {
    return run(std::span<const Feed>(feeds.begin(), feeds.size()));
  }
  void wait();  // for all steps; does not throw

  // Tasks completed from outside (a message arrived): `handler` is told when one is ready and calls `done`
  // once, from any thread, when it is over; also when something else has failed meanwhile.
  void on_external(std::function<void(int task, std::function<void()> done)> handler) {
    external_ = std::move(handler);
  }

  const Plan& plan() const { return plan_; }
  const std::vector<std::vector<Record>>& records() const {
    return records_;
  }  // per worker; read after wait()
  const std::vector<StepStart>& step_starts() const { return step_starts_; }
  std::vector<WorkerUse> worker_use() const;  // since the executor was made; call it after wait()
  void clear_records();
  void set_record(bool on) { options_.record = on; }  // while no step runs

 private:
  struct Set;
  class Runner;
  struct Booking {  // of the session's memory, for as long as the executor lives
    int64_t& room;
    int64_t bytes;
    ~Booking() { room += bytes; }
  };
  // Device memory of a task's scratch tiles, by where they begin in the scratch memory of the CPU.
  using DeviceScratch = std::vector<std::pair<intptr_t, void*>>;
  struct TaskLayout {  // where the stages' tiles come from
    struct Source {
      int pointer;  // index among the task's accesses; -1: scratch
      TileView view;
    };
    std::vector<std::vector<Source>> stages;
    int64_t scratch_bytes = 0;
  };

  void build_layouts();
  void build_sets();
  void release(Set& set, int task);
  void release_source(Set& set);
  void execute(Set& set, int task, int worker, void* const* pointers) noexcept;
  void run_stages(Set& set, int task, int worker, void* const* pointers) noexcept;
  void execute_stage(Set& set, int task, size_t stage, int worker, void* const* pointers, std::byte* scratch);
  void launch_stages(Set& set, int task, int worker, void* const* pointers, DeviceQueue& queue) noexcept;
  void execute_on_device(Set& set, int task, size_t stage, int worker, void* const* pointers,
                         DeviceQueue& queue, DeviceScratch& scratch);
  bool runs_on_device(const Task& task) const;
  void record(const Record& what) { records_[static_cast<size_t>(what.worker)].push_back(what); }
  static int64_t now_ns();
  void check_kinds(const std::string& kinds) const;
  void device_done(int task, int worker) noexcept;
  void finished(Set& set, int task) noexcept;
  void fail(const std::string& label) noexcept;
  void give_up(std::exception_ptr problem) noexcept;
  void wait_for(int64_t step);
  void collect(Set& set);
  void check_feeds(std::span<const Feed> feeds) const;
  void feed(Set& set, std::span<const Feed> feeds);
  static void check(const Stage& stage, std::span<const TileView> views);

  Session& session_;
  const WorkerKinds& kinds_;  // the session's workers'
  Plan plan_;
  ExecutorOptions options_;
  Booking booking_;
  std::vector<std::string> changed_variables_, shadows_,
      refreshed_;  // shadows used; of these, the ones updated
  Memory arena_;
  std::vector<BufferId> intermediates_;  // engine's buffer per plan buffer, -1 elsewhere
  std::vector<TaskLayout> layouts_;
  std::vector<PerformanceModel::Entry*> histories_;  // per task; null where nobody asks
  std::vector<int> sources_;                         // tasks without predecessors in their step
  std::vector<char> on_device_;                      // per task: whether devices may run it
  std::unique_ptr<Set> sets_[step_sets];
  struct alignas(64) Use {  // written by one worker alone
    int64_t tasks = 0, busy_ns = 0;
    double flops = 0;
    std::deque<int64_t> launched;  // when the device's tasks were that are not done
    int64_t last_done = 0;
  };
  void count(int task, int worker, int64_t nanoseconds) noexcept;
  std::vector<Use> use_;  // per worker
  std::vector<std::vector<Record>> records_;
  std::vector<StepStart> step_starts_;
  std::function<void(int, std::function<void()>)> external_;

  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t started_ = 0;  // steps
  std::atomic<bool> failed_{false};
  std::exception_ptr problem_;
};

}  // namespace tessera
