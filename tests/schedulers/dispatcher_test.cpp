// The dispatcher: who is woken, what a policy is told of the load, and what is written of its reasons.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/dispatcher.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/core/file.hpp"
#include "tests/models/scratch.hpp"

namespace tessera::testing_schedulers {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A core and a device, and a clock that is set by hand. Tasks of kernel "core" run on the core only.
struct Place final : Workplace {
  double now() const override { return time; }
  const std::vector<Worker>& workers() const override { return all; }
  std::optional<Expected> expected(const ReadyTask& task, WorkerId worker) const override {
    if (worker == 1 && task.kernel == "core") return std::nullopt;
    return Expected{.seconds = worker == 0 ? 4.0 : 1.0, .young = false};
  }
  int64_t missing_bytes(const ReadyTask&, WorkerId worker) const override { return worker; }
  double transfer_seconds(const ReadyTask&, WorkerId worker) const override { return worker * 0.5; }
  void wake(WorkerId worker) override { woken.push_back(worker); }
  void fail(const ReadyTask& task, const std::string& message) noexcept override {
    failed.push_back(std::string(task.label) + ": " + message);
  }

  std::vector<Worker> all{{WorkerKind::cpu, 0, 0}, {WorkerKind::cuda, 0, 1}};
  double time = 0;
  std::vector<WorkerId> woken;
  std::vector<std::string> failed;
};

// Hands a task to the worker that its priority names.
struct ByPriority final : Scheduler {
  void ready(const ReadyTask& task, const Load& load) override {
    tasks.push_back(&task);
    free = {load.free_at(0), load.free_at(1)};
    able = load.workers_for(task);
    const Load::Choice choices[] = {{0, load.now() + 4}, {1, load.now() + 1.5}};
    load.explain(task, "its \"number\"", choices);
  }
  const ReadyTask* next(WorkerId worker, const Load&) override {
    ++asked;
    for (const ReadyTask*& task : tasks)
      if (task->priority == worker) {
        const ReadyTask* found = task;
        std::erase(tasks, found);
        return found;
      }
    return nullptr;
  }
  void done(const ReadyTask&, WorkerId, double seconds) override { took.push_back(seconds); }

  std::vector<const ReadyTask*> tasks;
  std::pair<double, double> free;
  std::vector<WorkerId> able;
  std::vector<double> took;
  int asked = 0;
};

struct Fixture {
  explicit Fixture(std::string explain = "")
      : policy(new ByPriority),
        dispatcher(std::unique_ptr<Scheduler>(policy), place,
                   {.name = "mine", .patience = 0, .explain = std::move(explain)}) {}
  static DispatchTask task(const char* label, int worker, const char* kernel = "any") {
    DispatchTask made;
    made.label = label;
    made.kernel = kernel;
    made.priority = worker;
    return made;
  }

  Place place;
  ByPriority* policy;
  Dispatcher dispatcher;
};

TEST(Dispatcher, WakesExactlyTheSleeperThatGetsTheTask) {
  Fixture f;
  DispatchTask a = f.task("a", 1), b = f.task("b", 0);
  EXPECT_EQ(f.dispatcher.next(0), nullptr);
  EXPECT_EQ(f.dispatcher.next(1), nullptr);
  const int asked = f.policy->asked;
  EXPECT_EQ(f.dispatcher.next(1), nullptr);
  EXPECT_EQ(f.policy->asked, asked) << "a sleeper may ask as often as it likes, at no cost";
  f.dispatcher.ready(a);
  EXPECT_THAT(f.place.woken, ElementsAre(1));
  EXPECT_EQ(f.dispatcher.next(0), nullptr);
  EXPECT_EQ(f.dispatcher.next(1), &a);
  f.place.woken.clear();
  f.dispatcher.ready(b);
  EXPECT_THAT(f.place.woken, ElementsAre(0));
  EXPECT_EQ(f.dispatcher.next(0), &b);
}

TEST(Dispatcher, NobodyIsWokenForATaskThatSomebodyElseWillAskFor) {
  Fixture f;
  DispatchTask a = f.task("a", 1), b = f.task("b", 1);
  f.dispatcher.ready(a);
  EXPECT_EQ(f.dispatcher.next(1), &a);
  EXPECT_EQ(f.dispatcher.next(0), nullptr);
  f.dispatcher.ready(b);  // worker 1 works, 0 sleeps
  EXPECT_THAT(f.place.woken, IsEmpty());
  f.dispatcher.done(a, 1);
  EXPECT_THAT(f.place.woken, IsEmpty());
  EXPECT_EQ(f.dispatcher.next(1), &b);
}

TEST(Dispatcher, TellsWhenWorkersAreFreeAndWhatTasksTook) {
  Fixture f;
  f.place.time = 10;
  DispatchTask a = f.task("a", 1), b = f.task("b", 1), c = f.task("c", 0, "core");
  f.dispatcher.ready(a);
  EXPECT_EQ(f.policy->free, std::pair(10.0, 10.0));
  EXPECT_THAT(f.policy->able, ElementsAre(0, 1));
  EXPECT_EQ(f.dispatcher.next(1), &a);
  f.dispatcher.ready(b);
  EXPECT_EQ(f.policy->free, std::pair(10.0, 11.0)) << "handed out, not begun";
  EXPECT_EQ(f.dispatcher.next(1), &b);
  f.place.time = 10.25;
  f.dispatcher.started(a);
  f.place.time = 10.5;
  f.dispatcher.ready(c);
  EXPECT_EQ(f.policy->free, std::pair(10.5, 12.25)) << "begun at 10.25, and another one after it";
  EXPECT_THAT(f.policy->able, ElementsAre(0));
  f.dispatcher.started(b);  // launched while the first one runs
  f.place.time = 13;        // late
  EXPECT_EQ(f.dispatcher.free_at(1), 14);
  f.dispatcher.done(a, 1);
  EXPECT_EQ(f.dispatcher.free_at(1), 14);
  f.place.time = 13.75;
  f.dispatcher.done(b, 1);
  EXPECT_EQ(f.dispatcher.free_at(1), 13.75);
  EXPECT_THAT(f.policy->took, ElementsAre(2.75, 0.75));
}

TEST(Dispatcher, APolicyThatGivesATaskToAWorkerThatCannotRunItIsPassedOver) {
  Fixture f;
  DispatchTask a = f.task("a", 1, "core"), b = f.task("b", 0);
  f.dispatcher.ready(a);
  f.dispatcher.ready(b);
  EXPECT_EQ(f.dispatcher.next(1), &b) << "whatever it can run";
  EXPECT_THAT(f.place.failed,
              ElementsAre("a: scheduler 'mine': it hands 'a' to cuda 0, which cannot run it",
                          "b: scheduler 'mine': it hands 'a' to cuda 0, which cannot run it"));
  EXPECT_EQ(f.dispatcher.next(0), &a);
  f.dispatcher.done(a, 0);
  f.dispatcher.ready(a);
  EXPECT_EQ(f.place.failed.size(), 3U) << "later runs end as well";
}

TEST(Dispatcher, WritesWhyTasksRanWhereTheyDid) {
  const test::ScratchFolder folder;
  const std::string file = (folder / "why.jsonl").string();
  {
    Fixture f(file);
    EXPECT_TRUE(f.dispatcher.explaining());
    DispatchTask a = f.task("block0/\"a\"[0,0]", 1), b = f.task("b", 0);
    f.place.time = 100;
    f.dispatcher.ready(a);
    f.dispatcher.ready(b);
    EXPECT_EQ(f.dispatcher.next(0), &b);
    EXPECT_EQ(f.dispatcher.next(1), &a);
  }
  std::istringstream lines(read_file(file));
  std::string first, second;
  std::getline(lines, first);
  std::getline(lines, second);
  EXPECT_EQ(nlohmann::json::parse(first).at("task"), "b");
  EXPECT_EQ(nlohmann::json::parse(second), nlohmann::json({{"task", "block0/\"a\"[0,0]"},
                                                           {"kernel", "any"},
                                                           {"worker", "cuda 0"},
                                                           {"reason", "its \"number\""},
                                                           {"finish", {{"cpu 0", 4.0}, {"cuda 0", 1.5}}}}));
}

}  // namespace
}  // namespace tessera::testing_schedulers
