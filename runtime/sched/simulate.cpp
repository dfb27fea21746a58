// An event-driven simulation: tasks finish, bytes arrive, and the policy is asked as engines ask it.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/simulate.hpp"

#include <algorithm>
#include <deque>
#include <limits>
#include <queue>

#include "runtime/core/error.hpp"
#include "runtime/core/philox.hpp"
#include "runtime/core/text.hpp"
#include "runtime/sched/dispatcher.hpp"

namespace tessera {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

// Devices fetch the bytes of one task while they compute another, as StarPU's workers do.
int tasks_at_hand(WorkerKind kind) { return kind == WorkerKind::cpu ? 1 : 2; }

class Simulation final : Workplace {
 public:
  Simulation(const Plan& plan, const SimulatedMachine& machine, std::unique_ptr<Scheduler> policy,
             const std::string& name);
  Simulated run();

 private:
  struct SimulatedTask : DispatchTask {
    int index = 0;
    std::vector<TaskAccess> list;
    double handed = 0;
    std::vector<int> buffers;  // of each access
  };
  struct Event {
    double time;
    int64_t order;  // among those of one time
    enum class What : uint8_t { asks, fetched, finished } what;
    WorkerId worker;
    SimulatedTask* task;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : order > other.order;
    }
  };
  struct Desk {
    int at_hand = 0;
    SimulatedTask* running = nullptr;
    std::deque<SimulatedTask*> fetched;
    double idle_since = 0;
  };

  double now() const override { return now_; }
  const std::vector<Worker>& workers() const override { return machine_.workers; }
  std::optional<Expected> expected(const ReadyTask& task, WorkerId worker) const override {
    const auto seconds = machine_.expected(plan_task(task), kind(worker));
    return seconds ? std::optional<Expected>({*seconds, machine_.young}) : std::nullopt;
  }
  int64_t missing_bytes(const ReadyTask& task, WorkerId worker) const override;
  double transfer_seconds(const ReadyTask& task, WorkerId worker) const override {
    return static_cast<double>(missing_bytes(task, worker)) / machine_.link_bytes_per_s;
  }
  void wake(WorkerId worker) override { at(now_, Event::What::asks, worker, nullptr); }
  void fail(const ReadyTask&, const std::string& message) noexcept override { problem_ = message; }

  const Task& plan_task(const ReadyTask& task) const {
    return plan_.tasks[static_cast<size_t>(static_cast<const SimulatedTask&>(task).index)];
  }
  const Worker& worker(WorkerId w) const { return machine_.workers[static_cast<size_t>(w)]; }
  WorkerKind kind(WorkerId w) const { return worker(w).kind; }
  double& arrival(int buffer, int memory) {
    return arrivals_[static_cast<size_t>(buffer) * n_memories_ + static_cast<size_t>(memory)];
  }

  void add_task(int index);
  void handle(const Event& event);
  void at(double time, Event::What what, WorkerId worker, SimulatedTask* task) {
    events_.push({time, n_events_++, what, worker, task});
  }
  void ask(WorkerId worker);
  double fetch(const SimulatedTask& task, WorkerId worker);
  void move(int buffer, int64_t bytes, int to);
  void start(SimulatedTask& task, WorkerId worker);
  void finish(SimulatedTask& task, WorkerId worker);

  const Plan& plan_;
  const SimulatedMachine& machine_;
  const std::string name_;
  std::vector<SimulatedTask> tasks_;
  std::vector<int> missing_;  // predecessors
  std::vector<Desk> desks_;
  size_t n_memories_ = 1;
  std::vector<double> arrivals_;             // when a buffer's bytes are valid in a memory
  std::vector<std::array<double, 2>> free_;  // when a memory's link is: from the host, to the host
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  int64_t n_events_ = 0;
  double now_ = 0;
  std::string problem_;
  Simulated result_;
  Dispatcher dispatcher_;
};

Simulation::Simulation(const Plan& plan, const SimulatedMachine& machine, std::unique_ptr<Scheduler> policy,
                       const std::string& name)
    : plan_(plan),
      machine_(machine),
      name_(name),
      tasks_(plan.tasks.size()),
      desks_(machine.workers.size()),
      dispatcher_(std::move(policy), *this, {.name = name, .patience = 0}) {
  for (const Worker& each : machine.workers)
    n_memories_ = std::max(n_memories_, static_cast<size_t>(each.memory) + 1);
  arrivals_.assign(plan.buffers.size() * n_memories_, never);
  for (size_t b = 0; b < plan.buffers.size(); ++b) arrival(static_cast<int>(b), 0) = 0;
  free_.assign(n_memories_, {0, 0});
  result_.workers.resize(machine.workers.size());
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    missing_.push_back(plan.tasks[t].n_before);
    add_task(static_cast<int>(t));
  }
}

void Simulation::add_task(int index) {
  const Task& from = plan_.tasks[static_cast<size_t>(index)];
  SimulatedTask& task = tasks_[static_cast<size_t>(index)];
  task.index = index;
  for (const Stage& stage : from.stages)
    for (const Access& access : stage.accesses) {
      const Tile& tile = plan_.tiles[static_cast<size_t>(access.tile)];
      if (tile.residence == Residence::scratch) continue;
      const bool reads = access.mode != Mode::write, writes = access.mode != Mode::read;
      const auto known = std::find(task.buffers.begin(), task.buffers.end(), tile.buffer);
      const auto k = static_cast<size_t>(known - task.buffers.begin());
      if (known == task.buffers.end()) {
        task.buffers.push_back(tile.buffer);
        task.list.push_back({tile.bytes(), reads, writes});
      } else {
        task.list[k].writes |= writes;  // what comes first in the task decides whether it reads
      }
    }
  task.label = from.label;
  task.kernel = from.external() ? "external" : from.stages[0].kernel->name;
  task.priority = from.priority;
  task.flops = from.flops;
  task.bytes = from.bytes;
  task.accesses = task.list;
}

int64_t Simulation::missing_bytes(const ReadyTask& task, WorkerId w) const {
  const auto& known = static_cast<const SimulatedTask&>(task);
  int64_t missing = 0;
  for (size_t k = 0; k < known.buffers.size(); ++k)
    if (known.accesses[k].reads && arrivals_[static_cast<size_t>(known.buffers[k]) * n_memories_ +
                                             static_cast<size_t>(worker(w).memory)] == never)
      missing += known.accesses[k].bytes;
  return missing;
}

void Simulation::ask(WorkerId w) {
  Desk& desk = desks_[static_cast<size_t>(w)];
  while (desk.at_hand < tasks_at_hand(kind(w))) {
    auto* task = static_cast<SimulatedTask*>(dispatcher_.next(w));
    if (task == nullptr) return;
    ++desk.at_hand;
    task->handed = now_;
    at(fetch(*task, w), Event::What::fetched, w, task);
  }
}

// When all that the task reads is where the worker can read it.
double Simulation::fetch(const SimulatedTask& task, WorkerId w) {
  double there = now_;
  for (size_t k = 0; k < task.buffers.size(); ++k) {
    if (!task.list[k].reads) continue;
    const int to = worker(w).memory;
    if (arrival(task.buffers[k], to) == never) {
      move(task.buffers[k], task.list[k].bytes, to);
      result_.workers[static_cast<size_t>(w)].fetched_bytes += task.list[k].bytes;
    }
    there = std::max(there, arrival(task.buffers[k], to));
  }
  return there;
}

void Simulation::move(int buffer, int64_t bytes, int to) {
  int from = 0;  // the host where it can
  while (arrival(buffer, from) == never) ++from;
  double& out = free_[static_cast<size_t>(from)][1];
  double& in = free_[static_cast<size_t>(to)][0];
  double begin = std::max(now_, arrival(buffer, from));
  if (from != 0) begin = std::max(begin, out);
  if (to != 0) begin = std::max(begin, in);
  const double end = begin + static_cast<double>(bytes) / machine_.link_bytes_per_s;
  if (from != 0) out = end;
  if (to != 0) in = end;
  arrival(buffer, to) = end;
}

void Simulation::start(SimulatedTask& task, WorkerId w) {
  Desk& desk = desks_[static_cast<size_t>(w)];
  desk.running = &task;
  const double seconds = *machine_.seconds(plan_, task.index, kind(w));
  Simulated::ByWorker& sums = result_.workers[static_cast<size_t>(w)];
  ++sums.tasks;
  sums.busy += seconds;
  sums.waiting += now_ - std::max(desk.idle_since, task.handed);
  dispatcher_.started(task);
  at(now_ + seconds, Event::What::finished, w, &task);
}

void Simulation::finish(SimulatedTask& task, WorkerId w) {
  Desk& desk = desks_[static_cast<size_t>(w)];
  for (size_t k = 0; k < task.buffers.size(); ++k) {
    if (!task.list[k].writes) continue;
    for (size_t m = 0; m < n_memories_; ++m) arrival(task.buffers[k], static_cast<int>(m)) = never;
    arrival(task.buffers[k], worker(w).memory) = now_;
  }
  desk.running = nullptr;
  desk.idle_since = now_;
  --desk.at_hand;
  dispatcher_.done(task, w);
  for (int next : plan_.tasks[static_cast<size_t>(task.index)].next)
    if (--missing_[static_cast<size_t>(next)] == 0) dispatcher_.ready(tasks_[static_cast<size_t>(next)]);
  if (!desk.fetched.empty()) {
    SimulatedTask& next = *desk.fetched.front();
    desk.fetched.pop_front();
    start(next, w);
  }
  ask(w);
}

void Simulation::handle(const Event& event) {
  switch (event.what) {
    case Event::What::asks:
      return ask(event.worker);
    case Event::What::finished:
      return finish(*event.task, event.worker);
    case Event::What::fetched:
      break;
  }
  Desk& desk = desks_[static_cast<size_t>(event.worker)];
  if (desk.running == nullptr)
    start(*event.task, event.worker);
  else
    desk.fetched.push_back(event.task);
}

Simulated Simulation::run() {
  for (SimulatedTask& task : tasks_)
    if (missing_[static_cast<size_t>(task.index)] == 0) dispatcher_.ready(task);
  for (WorkerId w = 0; w < static_cast<WorkerId>(desks_.size()); ++w) ask(w);
  while (!events_.empty() && problem_.empty()) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    handle(event);
  }
  if (!problem_.empty()) throw Failure(problem_);
  int done = 0;
  for (const Simulated::ByWorker& worker : result_.workers) done += worker.tasks;
  if (done < static_cast<int>(tasks_.size()))
    throw failure("scheduler {}: it leaves {} of {} tasks unrun while all workers are idle", shown(name_),
                  tasks_.size() - static_cast<size_t>(done), tasks_.size());
  result_.seconds = now_;
  return result_;
}

}  // namespace

std::vector<Worker> workers_of(const Machine& machine) {
  std::vector<Worker> workers;
  for (int core = 0; core < machine.cores; ++core) workers.push_back({WorkerKind::cpu, core, 0});
  std::array<int, n_worker_kinds> count{};
  for (const Machine::Device& device : machine.devices) {
    const WorkerKind kind = device.kind == "cuda" ? WorkerKind::cuda : WorkerKind::opencl;
    const int memory = static_cast<int>(workers.size()) - machine.cores + 1;
    workers.push_back({kind, count[static_cast<size_t>(kind)]++, memory});
  }
  return workers;
}

std::optional<double> SimulatedMachine::expected(const Task& task, WorkerKind kind) const {
  return task.external() ? std::optional<double>(0) : model(task, kind);
}

std::optional<double> SimulatedMachine::seconds(const Plan& plan, int task, WorkerKind kind) const {
  const auto seconds = expected(plan.tasks[static_cast<size_t>(task)], kind);
  if (!seconds) return seconds;
  const PhiloxCounter draw =
      philox({static_cast<uint32_t>(task), static_cast<uint32_t>(kind), 0, 0}, philox_key(seed));
  return *seconds * truth[static_cast<size_t>(kind)] * (1 + noise * (2.0 * unit_float(draw[0]) - 1));
}

Simulated simulate(const Plan& plan, const SimulatedMachine& machine, std::unique_ptr<Scheduler> policy,
                   const std::string& name) {
  return Simulation(plan, machine, std::move(policy), name).run();
}

}  // namespace tessera
