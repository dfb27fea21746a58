// affinity on simulated machines: near what is possible at all, ahead of models of StarPU's policies.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/sched/policies.hpp"
#include "tests/schedulers/starpu_models.hpp"
#include "tests/schedulers/training_step.hpp"

namespace tessera::testing_schedulers {
namespace {

struct Seconds {
  double bound, affinity, dmdas, eager;
};

Seconds race(const Plan& plan, const SimulatedMachine& machine) {
  const auto seconds = [&](std::unique_ptr<Scheduler> policy) {
    return simulate(plan, machine, std::move(policy), "policy").seconds;
  };
  return {bound(plan, machine).seconds(), seconds(make_scheduler("affinity")),
          seconds(std::make_unique<Dmdas>()), seconds(std::make_unique<Eager>())};
}

// 64 row tiles of 512: with 16 of them, the tasks that are ready at a time do not keep ten such unlike
// workers busy, and no policy is within a tenth of the bound that the areas alone would give.
const TrainingStep& large_step() {
  static const TrainingStep step({.batch = 32, .tiling = "rows=512x16|512x16|512x16|512x16 " + vocabulary});
  return step;
}
const TrainingStep& small_step() {
  static const TrainingStep step({.batch = 8, .tiling = "rows=512x4|512x4|512x4|512x4 " + vocabulary});
  return step;
}

TEST(Affinity, IsWithinATenthOfTheBoundOfATrainingStep) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    SimulatedMachine machine = mixed_machine(large_step().plan);
    machine.seed = seed;
    ASSERT_GT(bound(large_step().plan, machine).area, 4 * bound(large_step().plan, machine).critical_path);
    const Seconds s = race(large_step().plan, machine);
    RecordProperty("affinity_over_bound", std::to_string(s.affinity / s.bound));
    EXPECT_LE(s.affinity, 1.10 * s.bound);
    EXPECT_LE(s.affinity, s.dmdas);
    EXPECT_LE(s.affinity, s.eager);
  }
}

TEST(Affinity, IsAheadWithFewRowTilesToo) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    SimulatedMachine machine = mixed_machine(small_step().plan);
    machine.seed = seed;
    const Seconds s = race(small_step().plan, machine);
    EXPECT_LE(s.affinity, 1.22 * s.bound);
    EXPECT_LE(s.affinity, s.dmdas);
    EXPECT_LE(s.affinity, s.eager);
  }
}

// A device three times slower than a young model thinks.
TEST(Affinity, LearnsWhereAYoungModelIsWrong) {
  SimulatedMachine machine = mixed_machine(small_step().plan);
  machine.truth[static_cast<size_t>(WorkerKind::cuda)] = 3;
  machine.young = true;
  const Seconds young = race(small_step().plan, machine);
  machine.young = false;  // it believes what it is told
  const Seconds believing = race(small_step().plan, machine);
  EXPECT_LE(young.affinity, 0.95 * believing.affinity);
  EXPECT_LE(young.affinity, young.dmdas);
  EXPECT_LE(young.affinity, 1.3 * young.bound);
}

// Three times faster: then cores hold on to what the device would have done sooner, until that is learnt.
TEST(Affinity, LosesLittleWhereADeviceIsBetterThanThought) {
  SimulatedMachine machine = mixed_machine(small_step().plan);
  machine.truth[static_cast<size_t>(WorkerKind::cuda)] = 1 / 3.0;
  machine.young = true;
  const Seconds young = race(small_step().plan, machine);
  EXPECT_LE(young.affinity, 1.15 * young.dmdas);
  EXPECT_LE(young.affinity, 1.5 * young.bound);
}

TEST(Affinity, GivesASlowDeviceOnlyWhatHelps) {
  SmallPlan plan;
  for (int chain = 0; chain < 8; ++chain)
    for (int i = 0; i < 100; ++i)
      plan.task({.seconds = 0.001,
                 .after = i > 0 ? std::vector<int>{chain * 100 + i - 1} : std::vector<int>{},
                 .priority = 100 - i,
                 .bytes = 4 << 10});
  const auto seconds = [&](const char* machine) {
    return simulate(plan.plan, machine_of(machine, 0.05), make_scheduler("affinity"), "affinity").seconds;
  };
  const double alone = seconds("cores=1");
  EXPECT_NEAR(alone, 0.8, 1e-9);
  EXPECT_LE(seconds("cores=1 opencl=\"slow\"/1GiB"), alone / 0.97);
}

// Much slower with matmuls, and slower yet with the rest: that is no reason for the core to wait for a
// matmul.
TEST(Affinity, DoesNotWaitForADeviceThatIsSlowWithEverything) {
  const auto seconds = [&](const char* workers) {
    SimulatedMachine machine = mixed_machine(small_step().plan, {.matmul = 1 / 26.0, .other = 1 / 1000.0});
    machine.workers = workers_of(Machine::parse(workers));
    return simulate(small_step().plan, machine, make_scheduler("affinity"), "affinity").seconds;
  };
  EXPECT_LE(seconds("cores=1 opencl=\"slow\"/80GiB"), seconds("cores=1") / 0.97);
}

TEST(Affinity, RunsTheMostUrgentFirst) {
  SmallPlan plan;
  plan.task({.seconds = 1, .priority = 1});
  plan.task({.seconds = 1, .priority = 1});
  plan.task({.seconds = 1, .priority = 3});
  plan.task({.seconds = 3, .after = {2}, .priority = 2});
  EXPECT_DOUBLE_EQ(simulate(plan.plan, machine_of("cores=2"), make_scheduler("affinity"), "affinity").seconds,
                   4);
}

TEST(Affinity, StaysWhereTheBytesAre) {
  SmallPlan plan;  // chains of tasks on 100 MB; moving that takes longer than a task
  for (int chain = 0; chain < 2; ++chain)
    for (int i = 0; i < 20; ++i)
      plan.task({.seconds = 0.004,
                 .after = i > 0 ? std::vector<int>{chain * 20 + i - 1} : std::vector<int>{},
                 .bytes = 100 << 20,
                 .overwrites = true});
  const Simulated done =
      simulate(plan.plan, machine_of("cores=1 cuda=\"a\"/8GiBx2", 2), make_scheduler("affinity"), "affinity");
  int64_t fetched = 0;
  for (const Simulated::ByWorker& worker : done.workers) fetched += worker.fetched_bytes;
  EXPECT_LE(fetched, int64_t{4} * (100 << 20));
}

}  // namespace
}  // namespace tessera::testing_schedulers
