// Each task where it is finished first, the moving of its bytes counted, and devices for what they are best
// at.
// SPDX-License-Identifier: Apache-2.0
//
//             ┌ cuda  matmul matmul … attention … add ┐   the first one in the order of the worker's kind
//   ready ──> │         one pool, sorted per kind     │ ──> next   that no other kind would rather have
//             └ cpu   add … attention … matmul matmul ┘
//
// A task's home is the kind that is through with it first; its gain there, how many times longer the next
// best kind takes. A kind begins with what it gains most from, the most urgent first. A worker of another
// kind takes a task that it finishes before the home kind gets through its backlog; or later, by as much as
// the home kind has work of greater gain to do meanwhile, but not by more than a few times what the task
// takes at home, as others may wait for it. So cores leave matmuls to the GPU until its queue is too long.
// Choosing late, when a worker is free, forgives wrong expectations; while they are guesses, they are
// corrected by what tasks of that kernel took.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>

#include "runtime/sched/corrections.hpp"
#include "runtime/sched/policies.hpp"

namespace tessera {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();
constexpr int looked_at = 8;  // candidates for each choice, among which bytes that are there already decide
constexpr double most_delay = 5;  // of the time that the home kind is spared: beyond, others wait in vain
using Seconds = std::array<double, n_worker_kinds>;

class Affinity final : public Scheduler {
 public:
  void ready(const ReadyTask& task, const Load& load) override {
    const Item& item = items_[&task] = appraise(task, load);
    backlog_[item.home] += item.seconds[item.home];
    for (size_t k = 0; k < n_worker_kinds; ++k)
      if (item.seconds[k] != never) pool_[k][item.keys[k]] = &task;
  }

  const ReadyTask* next(WorkerId worker, const Load& load) override {
    const size_t kind = kind_of(worker, load);
    const Item* best = nullptr;
    double fewest = never;  // seconds of transfers
    int looked = 0;
    for (const auto& [key, task] : pool_[kind]) {
      if (++looked > looked_at) break;
      const Item& item = items_.at(task);
      if (best && (key.gain != best->keys[kind].gain || task->priority < 0.9 * best->task->priority)) break;
      const double transfer = load.transfer_seconds(*task, worker);
      if (transfer >= fewest) continue;
      if (!suits(item, kind, load.free_at(worker) + transfer + item.seconds[kind], load)) continue;
      if (transfer > 0 && nearer(item, worker, transfer, load)) continue;
      best = &item;
      fewest = transfer;
    }
    return best ? hand(*best, worker, load) : nullptr;
  }

  void done(const ReadyTask& task, WorkerId, double seconds) override { corrections_.ends(task, seconds); }

 private:
  struct Key {  // sorted by it
    int gain = 0, urgency = 0;
    int64_t order = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Item {
    const ReadyTask* task = nullptr;
    size_t home = 0;
    double gain = 1;
    Seconds seconds = {never, never, never};
    std::array<Key, n_worker_kinds> keys = {};
  };
  static size_t kind_of(WorkerId worker, const Load& load) {
    return static_cast<size_t>(load.workers()[static_cast<size_t>(worker)].kind);
  }

  Item appraise(const ReadyTask& task, const Load& load) {
    Item item{.task = &task};
    Seconds with_transfers = {never, never, never};
    for (WorkerId worker : load.workers_for(task)) {
      const size_t k = kind_of(worker, load);
      const Expected expected = *load.expected(task, worker);
      const double correction = expected.young ? corrections_.of(task.kernel, static_cast<WorkerKind>(k)) : 1;
      item.seconds[k] = std::max(1e-9, expected.seconds * correction);
      with_transfers[k] = std::min(with_transfers[k], item.seconds[k] + load.transfer_seconds(task, worker));
    }
    item.home = static_cast<size_t>(std::ranges::min_element(with_transfers) - with_transfers.begin());
    const auto gain_of = [&](size_t kind) {
      double others = never;
      for (size_t k = 0; k < n_worker_kinds; ++k)
        if (k != kind) others = std::min(others, with_transfers[k]);
      return std::clamp(others / with_transfers[kind], 1e-6, 1e6);
    };
    item.gain = gain_of(item.home);
    double& best = best_gain_[item.home];
    if (item.gain < 1e6) best = std::max(item.gain, best * 0.99);  // forgets when the work changes
    // Of what a kind should do, the most urgent first; of what it only helps out with, the least.
    const bool helps = item.gain > 0.7 * best;
    for (size_t k = 0; k < n_worker_kinds; ++k)
      item.keys[k] = {-static_cast<int>(std::lround(std::log(gain_of(k)) / std::log(1.5))),
                      k == item.home || !helps ? -task.priority : task.priority, order_++};
    return item;
  }

  // Whether a worker of `kind` that would finish the task then should have it.
  bool suits(const Item& item, size_t kind, double finish, const Load& load) const {
    if (kind == item.home) return true;
    const double patience = std::max(1.0, best_gain_[item.home] / item.gain);
    const double wait = finish_of(item, item.home, load).finish - load.now();
    return finish - load.now() < std::min(patience * wait, wait + most_delay * item.seconds[item.home]);
  }

  // Whether another worker of the kind, for which fewer bytes have to move, would be through with it first.
  bool nearer(const Item& item, WorkerId worker, double transfer, const Load& load) const {
    const size_t kind = kind_of(worker, load);
    int n = 0;
    double first = never;
    for (WorkerId w = 0; w < static_cast<WorkerId>(load.workers().size()); ++w) {
      if (kind_of(w, load) != kind) continue;
      ++n;
      if (w != worker) first = std::min(first, load.free_at(w) + load.transfer_seconds(*item.task, w));
    }
    const double queue = kind == item.home ? backlog_[kind] / n - item.seconds[kind] : 0;
    return first + std::max(0.0, queue) < load.free_at(worker) + transfer;
  }

  // When a kind would finish the task after all else that it is home to, and the worker that is free first.
  Load::Choice finish_of(const Item& item, size_t kind, const Load& load) const {
    Load::Choice first{0, never};
    int n = 0;
    for (WorkerId w = 0; w < static_cast<WorkerId>(load.workers().size()); ++w) {
      if (kind_of(w, load) != kind) continue;
      ++n;
      if (load.free_at(w) < first.finish) first = {w, load.free_at(w)};
    }
    first.finish += std::max(backlog_[kind] / std::max(1, n), item.seconds[kind]);
    return first;
  }

  const ReadyTask* hand(const Item& item, WorkerId worker, const Load& load) {
    const ReadyTask* task = item.task;
    if (load.explaining()) say_why(item, worker, load);
    corrections_.begins(*task, load.workers()[static_cast<size_t>(worker)].kind,
                        *load.expected(*task, worker));
    backlog_[item.home] -= item.seconds[item.home];
    for (size_t k = 0; k < n_worker_kinds; ++k) pool_[k].erase(item.keys[k]);
    items_.erase(task);
    return task;
  }

  void say_why(const Item& item, WorkerId worker, const Load& load) const {
    const size_t kind = kind_of(worker, load);
    const auto home = name_of(static_cast<WorkerKind>(item.home));
    std::vector<Load::Choice> finish;
    for (size_t k = 0; k < n_worker_kinds; ++k)
      if (item.seconds[k] != never) finish.push_back(finish_of(item, k, load));
    std::string reason = finish.size() == 1 ? fmt::format("only {} runs it, and it is the most urgent", home)
                         : kind == item.home
                             ? fmt::format("{} is {:.1f} times as fast with it as others", home, item.gain)
                             : fmt::format("done here before {} has worked off its backlog", home);
    if (kind != item.home && item.gain < 0.99 * best_gain_[item.home])
      reason = fmt::format("{} gains {:.1f} from it and has work to gain {:.1f} from", home, item.gain,
                           best_gain_[item.home]);
    load.explain(*item.task, reason, finish);
  }

  std::unordered_map<const ReadyTask*, Item> items_;
  std::array<std::map<Key, const ReadyTask*>, n_worker_kinds> pool_;
  Seconds backlog_ = {}, best_gain_ = {};
  int64_t order_ = 0;
  Corrections corrections_;
};

}  // namespace

std::unique_ptr<Scheduler> make_affinity() { return std::make_unique<Affinity>(); }

}  // namespace tessera
