// The simulation: times add up, bytes are moved once, and misbehaving policies are named.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/simulate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "runtime/core/error.hpp"
#include "tests/schedulers/small_plan.hpp"

namespace tessera::testing_schedulers {
namespace {

using testing::AllOf;
using testing::DoubleNear;
using testing::Gt;
using testing::HasSubstr;
using testing::Lt;
using testing::ThrowsMessage;

Simulated fifo(const SmallPlan& plan, const SimulatedMachine& machine) {
  return simulate(plan.plan, machine, std::make_unique<Fifo>(), "fifo");
}

TEST(Simulate, AChainTakesTheSumOfItsTasks) {
  SmallPlan plan;
  plan.task({.seconds = 1});
  plan.task({.seconds = 2, .after = {0}});
  plan.task({.seconds = 4, .after = {1}});
  const Simulated run = fifo(plan, machine_of("cores=2"));
  EXPECT_DOUBLE_EQ(run.seconds, 7);
  EXPECT_DOUBLE_EQ(run.workers[0].busy + run.workers[1].busy, 7);
  EXPECT_EQ(run.workers[0].tasks + run.workers[1].tasks, 3);
}

TEST(Simulate, IndependentTasksRunAtOnce) {
  SmallPlan plan;
  for (int i = 0; i < 7; ++i) plan.task({.seconds = 1});
  EXPECT_DOUBLE_EQ(fifo(plan, machine_of("cores=3")).seconds, 3);
}

TEST(Simulate, DevicesWaitForBytesOverTheirLink) {
  SmallPlan
      plan;  // 0.5 s of bytes for a second of work, on a device twice as fast as the core that is not used
  plan.task({.seconds = 2, .bytes = 600});
  SimulatedMachine machine = machine_of("cores=1 cuda=\"a\"/1GiB", 2);
  machine.workers.erase(machine.workers.begin());
  machine.link_bytes_per_s = 1200;
  const Simulated run = fifo(plan, machine);
  EXPECT_DOUBLE_EQ(run.seconds, 1.5);
  EXPECT_DOUBLE_EQ(run.workers[0].waiting, 0.5);
  EXPECT_EQ(run.workers[0].fetched_bytes, 600);
}

TEST(Simulate, DevicesFetchWhileTheyCompute) {
  SmallPlan plan;
  for (int i = 0; i < 10; ++i) plan.task({.seconds = 2, .bytes = 600});
  SimulatedMachine machine = machine_of("cores=1 cuda=\"a\"/1GiB", 2);
  machine.workers.erase(machine.workers.begin());
  machine.link_bytes_per_s = 1200;
  EXPECT_DOUBLE_EQ(fifo(plan, machine).seconds, 10.5);
}

TEST(Simulate, BytesMoveOnlyWhereTheyAreReadAndNotYetThere) {
  SmallPlan plan;
  plan.task({.bytes = 400, .overwrites = true});               // made on the device,
  plan.task({.after = {0}, .bytes = 80, .overwrites = true});  // read there,
  plan.task({.after = {0}, .bytes = 80, .overwrites = true});
  SimulatedMachine machine = machine_of("cores=1 cuda=\"a\"/1GiB");
  machine.workers.erase(machine.workers.begin());
  EXPECT_EQ(fifo(plan, machine).workers[0].fetched_bytes, 0);

  SmallPlan mixed;  // a core, a device: whoever does not have the first task's result fetches it
  mixed.task({.seconds = 1, .bytes = 400, .overwrites = true});
  for (int i = 0; i < 3; ++i) mixed.task({.seconds = 3, .after = {0}, .bytes = 80, .overwrites = true});
  const Simulated run = fifo(mixed, machine_of("cores=1 cuda=\"a\"/1GiB"));
  EXPECT_EQ(run.workers[0].fetched_bytes + run.workers[1].fetched_bytes, 400);
}

TEST(Simulate, ModelsAreOffByTheirNoiseAndTruth) {
  SmallPlan plan;
  for (int i = 0; i < 1000; ++i) plan.task({.seconds = 1});
  SimulatedMachine machine = machine_of("cores=1");
  machine.noise = 0.2;
  machine.truth[0] = 3;
  double least = 9, most = 0;
  for (int t = 0; t < 1000; ++t) {
    const double seconds = *machine.seconds(plan.plan, t, WorkerKind::cpu);
    least = std::min(least, seconds);
    most = std::max(most, seconds);
    EXPECT_EQ(seconds, *machine.seconds(plan.plan, t, WorkerKind::cpu));
  }
  EXPECT_THAT(least, AllOf(Gt(2.399), Lt(2.41)));
  EXPECT_THAT(most, AllOf(Gt(3.59), Lt(3.601)));
  EXPECT_THAT(fifo(plan, machine).seconds, DoubleNear(3000, 40));
  const double before = fifo(plan, machine).seconds;
  machine.seed = 1;
  EXPECT_NE(fifo(plan, machine).seconds, before);
}

TEST(Simulate, TasksRunOnlyWhereTheyCan) {
  SmallPlan plan;
  for (int i = 0; i < 6; ++i) plan.task({});
  const Simulated run = fifo(plan, machine_of("cores=1 cuda=\"a\"/1GiB", 0));
  EXPECT_EQ(run.workers[0].tasks, 6);
  EXPECT_EQ(run.workers[1].tasks, 0);
}

TEST(Simulate, APolicyThatLeavesTasksIsNamed) {
  class Lazy final : public Scheduler {
    void ready(const ReadyTask&, const Load&) override {}
    const ReadyTask* next(WorkerId, const Load&) override { return nullptr; }
  };
  SmallPlan plan;
  plan.task({});
  plan.task({.after = {0}});
  EXPECT_THAT([&] { simulate(plan.plan, machine_of("cores=2"), std::make_unique<Lazy>(), "lazy"); },
              ThrowsMessage<Failure>(AllOf(HasSubstr("'lazy'"), HasSubstr("2 of 2 tasks unrun"))));
}

TEST(Simulate, APolicyThatThrowsIsNamed) {
  class Thrower final : public Fifo {
    void done(const ReadyTask&, WorkerId, double) override { throw std::runtime_error("no idea"); }
  };
  SmallPlan plan;
  plan.task({});
  EXPECT_THAT([&] { simulate(plan.plan, machine_of("cores=1"), std::make_unique<Thrower>(), "mine"); },
              ThrowsMessage<Failure>("scheduler 'mine': no idea"));
}

TEST(Simulate, WorkersAreTheMachines) {
  const std::vector<Worker> workers =
      workers_of(Machine::parse("cores=2 cuda=\"a\"/1GiBx2 opencl=\"b\"/1GiB"));
  ASSERT_EQ(workers.size(), 5U);
  EXPECT_EQ(workers[1].name(), "cpu 1");
  EXPECT_EQ(workers[1].memory, 0);
  EXPECT_EQ(workers[3].name(), "cuda 1");
  EXPECT_EQ(workers[3].memory, 2);
  EXPECT_EQ(workers[4].name(), "opencl 0");
  EXPECT_EQ(workers[4].memory, 3);
}

}  // namespace
}  // namespace tessera::testing_schedulers
