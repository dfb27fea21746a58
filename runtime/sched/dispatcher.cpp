// Handing tasks to a policy and taking them back.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/dispatcher.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Dispatcher::Dispatcher(std::unique_ptr<Scheduler> policy, Workplace& place, DispatcherOptions options)
    : place_(place),
      options_(std::move(options)),
      policy_(std::move(policy)),
      desks_(place.workers().size()) {
  if (!options_.explain.empty()) {
    explanations_.open(options_.explain);
    if (!explanations_) throw error("cannot write {}: {}", shown(options_.explain), std::strerror(errno));
  }
  if (options_.patience > 0) watchdog_ = std::thread([this] { watch(); });
}

Dispatcher::~Dispatcher() {
  if (!watchdog_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopping_changed_.notify_all();
  watchdog_.join();
}

void Dispatcher::ready(DispatchTask& task) {
  std::vector<WorkerId> roused;
  {
    std::lock_guard lock(mutex_);
    if (held_.empty()) last_event_ = now();
    task.state = DispatchTask::State::held;
    task.place = held_.size();
    held_.push_back(&task);
    if (broken_.empty())
      ask_policy([&] { policy_->ready(task, *this); });
    else
      place_.fail(task, broken_);
    roused = rouse();
  }
  wake(roused);  // from here on the task may be over
}

DispatchTask* Dispatcher::next(WorkerId worker) {
  Desk& mine = desk(worker);
  if (mine.asleep.load(std::memory_order_acquire)) return nullptr;
  DispatchTask* task = nullptr;
  std::vector<WorkerId> roused;
  {
    std::lock_guard lock(mutex_);
    if (mine.given != nullptr) return std::exchange(mine.given, nullptr);
    const bool was_broken = !broken_.empty();
    task = take(worker);
    if (task == nullptr) mine.asleep.store(true, std::memory_order_release);
    if (was_broken != !broken_.empty()) roused = rouse();
  }
  wake(roused);
  return task;
}

void Dispatcher::started(DispatchTask& task) {
  std::lock_guard lock(mutex_);
  task.started = now();
}

void Dispatcher::done(DispatchTask& task, WorkerId worker) {
  std::vector<WorkerId> roused;
  {
    std::lock_guard lock(mutex_);
    Desk& its = desk(worker);
    std::erase(its.handed, &task);
    --handed_;
    task.state = DispatchTask::State::outside;
    last_event_ = now();
    const double began = std::max(task.started, its.last_done);  // devices overlap their tasks' launches
    its.last_done = last_event_;
    if (broken_.empty()) {
      ask_policy([&] { policy_->done(task, worker, last_event_ - began); });
      if (!broken_.empty()) place_.fail(task, broken_);
    }
    roused = rouse();
  }
  wake(roused);
}

std::vector<WorkerId> Dispatcher::workers_for(const ReadyTask& task) const {
  std::vector<WorkerId> able;
  for (WorkerId w = 0; w < static_cast<WorkerId>(desks_.size()); ++w)
    if (place_.expected(task, w)) able.push_back(w);
  return able;
}

double Dispatcher::free_at(WorkerId worker) const {
  const Desk& its = desks_[static_cast<size_t>(worker)];
  double free = now();
  for (const DispatchTask* task : its.handed)
    if (task == its.handed.front() && task->started >= 0)
      free = std::max(free, std::max(task->started, its.last_done) + task->expected);
    else
      free += task->expected;
  return free;
}

// Whatever a policy throws ends its service, not the process.
template <class Call>
void Dispatcher::ask_policy(Call call) {
  try {
    call();
  } catch (const std::exception& problem) {
    break_off(problem.what());
  } catch (...) {
    break_off("it throws something that is no exception");
  }
}

DispatchTask* Dispatcher::take(WorkerId worker) {
  DispatchTask* task = nullptr;
  if (broken_.empty())
    ask_policy([&] {
      const ReadyTask* chosen = policy_->next(worker, *this);
      if (chosen == nullptr) return;
      auto* known = const_cast<DispatchTask*>(static_cast<const DispatchTask*>(chosen));
      if (known->state != DispatchTask::State::held)
        throw failure("it hands out {}, which it does not have", shown(chosen->label));
      if (!place_.expected(*chosen, worker))
        throw failure("it hands {} to {}, which cannot run it", shown(chosen->label),
                      workers()[static_cast<size_t>(worker)].name());
      task = known;
    });
  if (!broken_.empty()) task = take_without_policy(worker);
  if (task != nullptr) hand_out(*task, worker);
  return task;
}

DispatchTask* Dispatcher::take_without_policy(WorkerId worker) const {
  for (DispatchTask* task : held_)
    if (place_.expected(*task, worker)) return task;
  return nullptr;
}

void Dispatcher::hand_out(DispatchTask& task, WorkerId worker) {
  held_.back()->place = task.place;
  held_[task.place] = held_.back();
  held_.pop_back();
  task.state = DispatchTask::State::handed;
  task.expected = place_.expected(task, worker)->seconds;
  task.started = -1;
  desk(worker).handed.push_back(&task);
  ++handed_;
  last_event_ = now();
  if (explaining()) write_explanation(task, worker);
}

// Asks on behalf of those that sleep, so that exactly those are woken who have something to do.
std::vector<WorkerId> Dispatcher::rouse() {
  std::vector<WorkerId> roused;
  for (bool again = true; again;) {
    const bool was_broken = !broken_.empty();
    for (WorkerId w = 0; w < static_cast<WorkerId>(desks_.size()) && !held_.empty(); ++w) {
      Desk& its = desk(w);
      if (!its.asleep.load(std::memory_order_relaxed)) continue;
      its.given = take(w);
      if (its.given == nullptr) continue;
      its.asleep.store(false, std::memory_order_release);
      roused.push_back(w);
    }
    again = was_broken != !broken_.empty();
  }
  return roused;
}

void Dispatcher::wake(const std::vector<WorkerId>& workers) {
  for (WorkerId worker : workers) place_.wake(worker);
}

void Dispatcher::break_off(const std::string& why) {
  broken_ = fmt::format("scheduler {}: {}", shown(options_.name), why);
  for (const DispatchTask* task : held_) place_.fail(*task, broken_);
}

void Dispatcher::watch() {
  std::unique_lock lock(mutex_);
  const auto pause = std::chrono::duration<double>(options_.patience / 4);
  while (!stopping_changed_.wait_for(lock, pause, [this] { return stopping_; })) {
    const bool stuck = !held_.empty() && handed_ == 0 && now() - last_event_ >= options_.patience;
    if (!stuck || !broken_.empty()) continue;
    break_off(
        fmt::format("it holds {} ready tasks, {} among them, and has handed out none for {} s while all "
                    "workers were idle",
                    held_.size(), shown(held_.front()->label), options_.patience));
    const std::vector<WorkerId> roused = rouse();
    lock.unlock();
    wake(roused);
    lock.lock();
  }
}

void Dispatcher::explain(const ReadyTask& task, std::string reason, std::span<const Choice> finish) const {
  if (!explaining()) return;
  std::string times;
  for (const Choice& choice : finish)
    times += fmt::format("{}\"{}\":{:.3g}", times.empty() ? "" : ",",
                         workers()[static_cast<size_t>(choice.worker)].name(),
                         std::max(0.0, choice.finish - now()));
  said_[&task] = fmt::format("{},\"finish\":{{{}}}", json_text(reason), times);
}

void Dispatcher::write_explanation(const DispatchTask& task, WorkerId worker) {
  std::string why;
  if (const auto said = said_.find(&task); said != said_.end()) {
    why = std::move(said->second);
    said_.erase(said);
  }
  if (!broken_.empty() || why.empty()) why = json_text(broken_.empty() ? "the policy does not say" : broken_);
  explanations_ << fmt::format("{{\"task\":{},\"kernel\":{},\"worker\":\"{}\",\"reason\":{}}}\n",
                               json_text(task.label), json_text(task.kernel),
                               workers()[static_cast<size_t>(worker)].name(), why);
  if (!explanations_) place_.fail(task, fmt::format("cannot write {}", shown(options_.explain)));
}

}  // namespace tessera
