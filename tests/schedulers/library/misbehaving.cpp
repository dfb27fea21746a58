// A library of policies that misbehave, each in its own way.
// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>
#include <vector>

#include "runtime/sched/scheduler.hpp"

namespace {

using namespace tessera;

class Fifo : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load&) override { queue_.push_back(&task); }
  const ReadyTask* next(WorkerId, const Load&) override {
    if (queue_.empty()) return nullptr;
    const ReadyTask* task = queue_.front();
    queue_.erase(queue_.begin());
    return task;
  }

 private:
  std::vector<const ReadyTask*> queue_;
};

class Stubborn final : public Fifo {  // hands out none after the tenth
 public:
  const ReadyTask* next(WorkerId worker, const Load& load) override {
    return handed_++ < 10 ? Fifo::next(worker, load) : nullptr;
  }

 private:
  int handed_ = 0;
};

class ThrowsWhenReady final : public Fifo {
 public:
  void ready(const ReadyTask& task, const Load& load) override {
    Fifo::ready(task, load);
    if (++seen_ == 20) throw std::runtime_error("twenty is too many");
  }

 private:
  int seen_ = 0;
};

class ThrowsAtNext final : public Fifo {
 public:
  const ReadyTask* next(WorkerId worker, const Load& load) override {
    if (++asked_ == 20) throw 20;
    return Fifo::next(worker, load);
  }

 private:
  int asked_ = 0;
};

class HandsOutTwice final : public Fifo {
 public:
  const ReadyTask* next(WorkerId worker, const Load& load) override {
    const ReadyTask* task = Fifo::next(worker, load);
    if (++asked_ >= 20 && last_ != nullptr) return last_;
    return last_ = task;
  }

 private:
  const ReadyTask* last_ = nullptr;
  int asked_ = 0;
};

}  // namespace

extern "C" Scheduler* tessera_scheduler_v1(const char* name) {
  const std::string_view wanted = name;
  if (wanted == "fifo") return new Fifo;
  if (wanted == "stubborn") return new Stubborn;
  if (wanted == "throws_when_ready") return new ThrowsWhenReady;
  if (wanted == "throws_at_next") return new ThrowsAtNext;
  if (wanted == "hands_out_twice") return new HandsOutTwice;
  return nullptr;
}
