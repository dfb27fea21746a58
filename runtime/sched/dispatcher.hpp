// What stands between an engine and a policy: the lock, the books of who does what, and a watchdog.
// SPDX-License-Identifier: Apache-2.0
//
// A policy may be anyone's, so nothing it does may hang or corrupt a run: what it holds is known here, and
// where it throws, hands out what it does not have, or nothing at all, its tasks go to the workers without it
// and their runs fail with a message that names it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "runtime/sched/scheduler.hpp"

namespace tessera {

// A task with the dispatcher's books. Engines derive from it what they need besides.
struct DispatchTask : ReadyTask {
  enum class State : uint8_t { outside, held, handed };
  State state = State::outside;
  size_t place = 0;  // among the held ones
  double expected = 0, started = -1;
};

// What an engine knows, and does for its policy; asked under the policy's lock, except for `wake`.
class Workplace {
 public:
  virtual double now() const = 0;
  virtual const std::vector<Worker>& workers() const = 0;
  virtual std::optional<Expected> expected(const ReadyTask& task, WorkerId worker) const = 0;
  virtual int64_t missing_bytes(const ReadyTask& task, WorkerId worker) const = 0;
  virtual double transfer_seconds(const ReadyTask& task, WorkerId worker) const = 0;
  virtual void wake(WorkerId worker) = 0;  // next() has something for it
  virtual void fail(const ReadyTask& task, const std::string& message) noexcept = 0;  // ends the task's run

 protected:
  ~Workplace() = default;
};

// Nominal, where nothing better is known.
inline double nominal_seconds(const ReadyTask& task) { return 2e-6 + task.flops / 50e9; }

struct DispatcherOptions {
  std::string name = {};     // of the policy
  double patience = 30;      // seconds that all workers may idle while the policy holds tasks; 0: no watchdog
  std::string explain = {};  // a file for a line of JSON per task; empty: none
};

class Dispatcher final : public Load {
 public:
  Dispatcher(std::unique_ptr<Scheduler> policy, Workplace& place, DispatcherOptions options);
  ~Dispatcher() override;

  // From the engine, in this order for each use of a task.
  void ready(DispatchTask& task);
  DispatchTask* next(WorkerId worker);  // null: sleep until woken, or ask as often as you like
  void started(DispatchTask& task);
  void done(DispatchTask& task, WorkerId worker);

  // From the policy.
  double now() const override { return place_.now(); }
  const std::vector<Worker>& workers() const override { return place_.workers(); }
  std::optional<Expected> expected(const ReadyTask& task, WorkerId worker) const override {
    return place_.expected(task, worker);
  }
  std::vector<WorkerId> workers_for(const ReadyTask& task) const override;
  int64_t missing_bytes(const ReadyTask& task, WorkerId worker) const override {
    return place_.missing_bytes(task, worker);
  }
  double transfer_seconds(const ReadyTask& task, WorkerId worker) const override {
    return place_.transfer_seconds(task, worker);
  }
  double free_at(WorkerId worker) const override;
  bool explaining() const override { return explanations_.is_open(); }
  void explain(const ReadyTask& task, std::string reason, std::span<const Choice> finish) const override;

 private:
  struct Desk {                         // a worker's
    std::vector<DispatchTask*> handed;  // not done yet, the first one first
    DispatchTask* given = nullptr;      // found for it while it slept
    std::atomic<bool> asleep{false};    // was told that there is nothing
    double last_done = 0;
  };

  Desk& desk(WorkerId worker) { return desks_[static_cast<size_t>(worker)]; }
  template <class Call>
  void ask_policy(Call call);
  DispatchTask* take(WorkerId worker);
  DispatchTask* take_without_policy(WorkerId worker) const;
  void hand_out(DispatchTask& task, WorkerId worker);
  std::vector<WorkerId> rouse();
  void wake(const std::vector<WorkerId>& workers);
  void break_off(const std::string& why);
  void watch();
  void write_explanation(const DispatchTask& task, WorkerId worker);

  Workplace& place_;
  DispatcherOptions options_;
  std::unique_ptr<Scheduler> policy_;
  std::vector<Desk> desks_;

  std::mutex mutex_;
  std::vector<DispatchTask*> held_;  // by the policy
  int handed_ = 0;                   // and not done
  double last_event_ = 0;
  std::string broken_;  // why the policy is passed over; empty while it is not

  std::ofstream explanations_;
  mutable std::unordered_map<const ReadyTask*, std::string> said_;

  std::condition_variable stopping_changed_;
  bool stopping_ = false;
  std::thread watchdog_;
};

}  // namespace tessera
