// Every policy on machines that need not exist: all tasks run, never faster than can be, the same every time.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/policies.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "runtime/core/philox.hpp"
#include "tests/schedulers/small_plan.hpp"

namespace tessera::testing_schedulers {
namespace {

class PoliciesTest : public testing::TestWithParam<PolicyEntry> {
 protected:
  Simulated run(const Plan& plan, const SimulatedMachine& machine) const {
    return simulate(plan, machine, GetParam().make(), std::string(GetParam().name));
  }
};

uint32_t draw(uint32_t seed, uint32_t i, uint32_t k, uint32_t below) {
  return philox({i, k, 0, 0}, {seed, 7})[0] % below;
}

// Layers of tasks that need some of the layer before, with bytes to move and unlike lengths.
SmallPlan layered(uint32_t seed) {
  SmallPlan plan;
  for (int layer = 0; layer < 6; ++layer)
    for (int i = 0; i < 12; ++i) {
      const auto at = static_cast<uint32_t>(layer * 12 + i);
      std::set<int> after;
      for (uint32_t k = 0; layer > 0 && k < 3; ++k)
        after.insert((layer - 1) * 12 + static_cast<int>(draw(seed, at, k, 12)));
      plan.task({.seconds = 0.001 * (1 + draw(seed, at, 8, 20)),
                 .after = {after.begin(), after.end()},
                 .priority = static_cast<int>(draw(seed, at, 9, 1000)),
                 .bytes = 4 * (1 + draw(seed, at, 10, 1 << 20)),
                 .overwrites = draw(seed, at, 11, 2) == 0});
    }
  return plan;
}

constexpr const char* machines[] = {"cores=1", "cores=7", "cores=4 cuda=\"a\"/1GiBx2",
                                    "cores=2 opencl=\"a\"/1GiB",
                                    "cores=3 cuda=\"a\"/1GiB opencl=\"b\"/1GiBx2"};

TEST_P(PoliciesTest, RunEveryTaskOnEveryMachine) {
  for (const char* text : machines)
    for (double speed : {8.0, 0.1, 0.0})
      for (uint32_t seed = 0; seed < 4; ++seed) {
        const SmallPlan plan = layered(seed);
        SimulatedMachine machine = machine_of(text, speed);
        machine.noise = 0.2;
        machine.seed = seed;
        const Simulated done = run(plan.plan, machine);
        const Bound least = bound(plan.plan, machine);
        EXPECT_GE(done.seconds, 0.999999 * least.seconds()) << text << ' ' << speed;
        int tasks = 0;
        for (size_t w = 0; w < machine.workers.size(); ++w) {
          tasks += done.workers[w].tasks;
          EXPECT_LE(done.workers[w].busy, done.seconds * 1.000001);
          if (speed == 0 && machine.workers[w].kind != WorkerKind::cpu) {
            EXPECT_EQ(done.workers[w].tasks, 0);
          }
        }
        EXPECT_EQ(tasks, 72);
        EXPECT_EQ(run(plan.plan, machine).seconds, done.seconds) << "the same every time";
      }
}

TEST_P(PoliciesTest, TakeTasksThatOnlyADeviceCanRun) {
  SmallPlan plan;
  for (int i = 0; i < 9; ++i) plan.task({.seconds = i % 3 == 0 ? 1.0 : 2.0});
  SimulatedMachine machine = machine_of("cores=2 cuda=\"a\"/1GiB");
  machine.model = [](const Task& task, WorkerKind kind) -> std::optional<double> {
    if ((task.flops == 1) != (kind == WorkerKind::cuda)) return std::nullopt;
    return task.flops;
  };
  const Simulated done = run(plan.plan, machine);
  EXPECT_EQ(done.workers[2].tasks, 3);
  EXPECT_EQ(done.workers[0].tasks + done.workers[1].tasks, 6);
}

TEST_P(PoliciesTest, KeepAllWorkersBusyWithTasksAlike) {
  SmallPlan plan;
  for (int i = 0; i < 200; ++i) plan.task({.seconds = 1});
  const SimulatedMachine machine = machine_of("cores=4");
  EXPECT_DOUBLE_EQ(run(plan.plan, machine).seconds, 50);
}

INSTANTIATE_TEST_SUITE_P(Schedulers, PoliciesTest, testing::ValuesIn(policy_table()),
                         [](const auto& policy) { return std::string(policy.param.name); });

TEST(RoundRobin, DealsInTurn) {
  SmallPlan plan;
  for (int i = 0; i < 40; ++i) plan.task({});
  const Simulated done = simulate(plan.plan, machine_of("cores=3 opencl=\"a\"/1GiB", 0.2),
                                  make_scheduler("round_robin"), "round_robin");
  for (const Simulated::ByWorker& worker : done.workers) EXPECT_EQ(worker.tasks, 10);
}

}  // namespace
}  // namespace tessera::testing_schedulers
