// Plans for measuring the engine: which tasks wait for which.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/engine_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

// The longest chain of tasks within a step.
int depth_of(const Plan& plan) {
  std::vector<int> depth(plan.tasks.size(), 1);
  for (size_t t = 0; t < plan.tasks.size(); ++t)
    for (int next : plan.tasks[t].next)
      depth[static_cast<size_t>(next)] = std::max(depth[static_cast<size_t>(next)], depth[t] + 1);
  return *std::ranges::max_element(depth);
}

int depth_of(EnginePattern pattern, int tasks) {
  return depth_of(engine_plan({.pattern = pattern, .tasks = tasks, .chains = 4}));
}

TEST(EnginePlan, PatternsAreAsDeepAsTheySay) {
  EXPECT_EQ(depth_of(EnginePattern::independent, 256), 1);
  EXPECT_EQ(depth_of(EnginePattern::chain, 256), 256);
  EXPECT_EQ(depth_of(EnginePattern::chains, 256), 64);
  EXPECT_EQ(depth_of(EnginePattern::stencil, 256), 4);
  EXPECT_EQ(depth_of(EnginePattern::tree, 127), 7);
  EXPECT_EQ(depth_of(EnginePattern::tree, 254), 14) << "a tree grows from the root of the last";
}

TEST(EnginePlan, TasksHaveThreeHandles) {
  for (std::string_view name : engine_patterns)
    for (const Task& task :
         engine_plan({.pattern = engine_pattern_named(name), .tasks = 200, .chains = 2}).tasks) {
      ASSERT_EQ(task.stages[0].accesses.size(), 3u);
      EXPECT_EQ(task.stages[0].accesses[0].mode, Mode::read);
      EXPECT_EQ(task.stages[0].accesses[1].mode, Mode::read);
      EXPECT_EQ(task.stages[0].accesses[2].mode, Mode::update);
      EXPECT_NE(task.stages[0].accesses[0].tile, task.stages[0].accesses[2].tile) << name;
    }
  EXPECT_THROW(engine_pattern_named("chian"), Error);
}

}  // namespace
}  // namespace tessera
