// Joining what has to wait for each other anyway: in a plan of tiny tasks, as a token's, starting them is
// what costs.
// SPDX-License-Identifier: Apache-2.0
//
//   qkv ─▶ append ─▶ attention ─▶ out      a task with one predecessor, whose only successor it is, joins it
//   gate ─┐
//         ├▶ silu ─▶ down                  so do several predecessors that all wait for the same, where many
//         such
//   up ───┘                                families remain to keep the workers busy
//
// No path gets longer but for the members of a family, which run one after the other.
#include <algorithm>
#include <map>
#include <numeric>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

constexpr size_t max_stages = 8;
constexpr int least_families = 4;

// Some 300 µs of a core at the most. A task's bytes are of whole tiles, which key/value caches are not read
// as.
bool small(const Task& task) { return !task.external() && task.flops < 3e7 && task.bytes < (16 << 20); }

class Chains {
 public:
  explicit Chains(Plan& plan)
      : plan_(plan), host_(plan.tasks.size()), before_(plan.tasks.size()), n_next_(plan.tasks.size()) {
    link_tasks(plan);
    std::iota(host_.begin(), host_.end(), 0);
    for (const Task& task : plan.tasks) small_.push_back(small(task));
    for (size_t t = 0; t < plan.tasks.size(); ++t)
      for (int next : plan.tasks[t].next) before_[index(next)].push_back(static_cast<int>(t));
    drop_detours();
    for (size_t t = 0; t < plan.tasks.size(); ++t)
      if (is_family(t)) ++families_[before_[index(before_[t][0])]];
  }

  void join() {
    for (size_t t = 0; t < plan_.tasks.size(); ++t)
      if (follows_one(t) || (is_family(t) && families_[before_[index(before_[t][0])]] >= least_families))
        append_to_first(t);
    std::erase_if(plan_.tasks, [](const Task& task) { return task.stages.empty(); });
  }

 private:
  static size_t index(int task) { return static_cast<size_t>(task); }

  // Waiting for what another predecessor has waited for is no dependency of its own: a residual, say, which
  // the norm at the start of its block read first.
  void drop_detours() {
    const auto waited_for = before_;
    for (size_t t = 0; t < before_.size(); ++t)
      std::erase_if(before_[t], [&](int p) {
        return std::any_of(waited_for[t].begin(), waited_for[t].end(),
                           [&](int q) { return comes_before(waited_for, p, q); });
      });
    for (const std::vector<int>& tasks : before_)
      for (int p : tasks) ++n_next_[index(p)];
  }

  // Whether a path of dependencies leads from p to t; tasks lie in an order that respects them.
  static bool comes_before(const std::vector<std::vector<int>>& waited_for, int p, int t) {
    std::vector<int> open{t}, seen;
    while (!open.empty()) {
      const int task = open.back();
      open.pop_back();
      for (int earlier : waited_for[index(task)]) {
        if (earlier == p) return true;
        if (earlier < p || std::find(seen.begin(), seen.end(), earlier) != seen.end()) continue;
        seen.push_back(earlier);
        open.push_back(earlier);
      }
    }
    return false;
  }

  // Whether `t` is all that `p` leads to, and both were small.
  bool leads_to(int p, size_t t) const {
    return small_[index(p)] && small_[t] && n_next_[index(p)] == 1 &&
           plan_.tasks[index(p)].micro_batch == plan_.tasks[t].micro_batch;
  }
  bool follows_one(size_t t) const { return before_[t].size() == 1 && leads_to(before_[t][0], t); }
  bool is_family(size_t t) const {
    const std::vector<int>& members = before_[t];
    return members.size() > 1 && std::all_of(members.begin(), members.end(), [&](int p) {
             return leads_to(p, t) && !before_[index(p)].empty() &&
                    before_[index(p)] == before_[index(members[0])];
           });
  }

  // The stages of t, and of its predecessors, go to where the first of these has its own.
  void append_to_first(size_t t) {
    const int first = host_[index(before_[t][0])];
    std::vector<int> from;
    for (int p : before_[t])
      if (host_[index(p)] != first) from.push_back(host_[index(p)]);
    from.push_back(static_cast<int>(t));
    Task& to = plan_.tasks[index(first)];
    size_t stages = to.stages.size();
    for (int task : from) stages += plan_.tasks[index(task)].stages.size();
    if (stages > max_stages) return;
    for (int task : from) {
      Task& moved = plan_.tasks[index(task)];
      for (Stage& stage : moved.stages) to.stages.push_back(std::move(stage));
      to.flops += moved.flops;
      to.bytes += moved.bytes;
      moved.stages.clear();
      host_[index(task)] = first;
    }
  }

  Plan& plan_;
  std::vector<int> host_;                 // where a task's stages are now
  std::vector<std::vector<int>> before_;  // as the plan was
  std::vector<int> n_next_;
  std::vector<bool> small_;
  std::map<std::vector<int>, int> families_;  // by what all of their members wait for
};

}  // namespace

void join_chains(Plan& plan) { Chains(plan).join(); }

}  // namespace tessera
