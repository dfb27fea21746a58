// Reports about plans: sums that can be checked by hand.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/plan_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codelets/matmul/matmul.hpp"
#include "runtime/core/error.hpp"
#include "tools/tessera/engine_plan.hpp"

namespace tessera {
namespace {

using testing::HasSubstr;

constexpr Ceiling ceiling{.f32 = 100, .bf16 = 200};  // GF/s of two workers

// y = x · w1 · w2 in four row tiles: four chains of two products.
Plan two_products(DType dtype) {
  Graph graph;
  const Tensor x = graph.input("x", {{"rows", 256}, 64}, dtype);
  const Tensor w1 = graph.variable("w1", {64, 64}, dtype), w2 = graph.variable("w2", {64, 64}, dtype);
  graph.fetch(matmul(matmul(x, w1), w2));
  return make_plan(graph, {.tiling = Tiling::parse("rows=64x2|64x2")});
}

TEST(PlanReport, AddsUpFlopsAndBounds) {
  const PlanReport report = report_on(two_products(DType::f32), ceiling, 2);
  const double product = 2.0 * 64 * 64 * 64;
  EXPECT_EQ(report.tasks, 8);
  EXPECT_EQ(report.longest_chain, 2);
  EXPECT_EQ(report.dependencies, 4);
  EXPECT_DOUBLE_EQ(report.flops, 8 * product);
  ASSERT_EQ(report.kernels.size(), 1u);
  EXPECT_EQ(report.kernels[0].calls, 8);
  EXPECT_EQ(report.kernels[0].bytes, 8 * 3 * 64 * 64 * 4);
  EXPECT_DOUBLE_EQ(report.area_s, 8 * product / 100e9);
  EXPECT_DOUBLE_EQ(report.critical_path_s, 2 * product / 50e9);
  EXPECT_DOUBLE_EQ(report.bound_s(), report.area_s);
  EXPECT_DOUBLE_EQ(report.parallelism(), 4);
  EXPECT_EQ(report.memory.variables, 2 * 64 * 64 * 4);
  EXPECT_EQ(report.memory.transfers, step_sets * 2 * 256 * 64 * 4);
  EXPECT_GT(report.process_bytes, 1 << 20);
  EXPECT_EQ(report.tiling, "rows=64x2|64x2");
}

TEST(PlanReport, Bf16RunsAtItsOwnRate) {
  EXPECT_DOUBLE_EQ(report_on(two_products(DType::bf16), ceiling, 2).area_s,
                   report_on(two_products(DType::f32), ceiling, 2).area_s / 2);
}

TEST(PlanReport, AChainIsBoundByItsPath) {
  const Plan plan = engine_plan({.pattern = EnginePattern::chain, .tasks = 10});
  Plan heavy = plan;
  for (Task& task : heavy.tasks) task.stages[0].flops = 1e9;
  const PlanReport report = report_on(heavy, ceiling, 2);
  EXPECT_EQ(report.longest_chain, 10);
  EXPECT_DOUBLE_EQ(report.critical_path_s, 10e9 / 50e9);
  EXPECT_DOUBLE_EQ(report.bound_s(), 2 * report.area_s);
  EXPECT_DOUBLE_EQ(report.parallelism(), 1);
}

TEST(PlanReport, PatternsHaveTheDependenciesTheyPromise) {
  auto most_before = [](EnginePattern pattern) {
    int most = 0;
    for (const Task& task : engine_plan({.pattern = pattern, .tasks = 640}).tasks) {
      EXPECT_EQ(task.stages[0].accesses.size(), 3u);
      most = std::max(most, task.n_before);
    }
    return most;
  };
  EXPECT_EQ(most_before(EnginePattern::independent), 0);
  EXPECT_EQ(most_before(EnginePattern::chain), 1);
  EXPECT_EQ(most_before(EnginePattern::stencil), 2);  // the neighbours, who waited for the rest
  EXPECT_EQ(
      report_on(engine_plan({.pattern = EnginePattern::stencil, .tasks = 640}), ceiling, 2).longest_chain,
      10);
}

TEST(PlanReport, DrawsSmallPlansOnly) {
  const std::string drawing = dot(two_products(DType::f32));
  EXPECT_TRUE(drawing.starts_with("digraph"));
  size_t nodes = 0;
  for (size_t at = 0; (at = drawing.find("label=", at)) != std::string::npos; ++at) ++nodes;
  EXPECT_EQ(nodes, 8u);
  size_t edges = 0;
  for (size_t at = 0; (at = drawing.find(" -> ", at)) != std::string::npos; ++at) ++edges;
  EXPECT_GE(edges, 4u);
  EXPECT_THROW(dot(engine_plan({.pattern = EnginePattern::independent, .tasks = 5000})), Error);
}

TEST(PlanReport, PrintsJsonLinesWithItsKeys) {
  const Plan plan = two_products(DType::f32);
  testing::internal::CaptureStdout();
  print_json(report_on(plan, ceiling, 2));
  std::istringstream lines(testing::internal::GetCapturedStdout());
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  const Json first = Json::parse(line);
  for (const auto& [key, value] : first.items())
    EXPECT_THAT(std::string(plan_keys), HasSubstr('"' + key + "\":")) << "not documented";
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(Json::parse(line).at("kernel"), "matmul");

  testing::internal::CaptureStdout();
  print_text(report_on(plan, ceiling, 2));
  EXPECT_THAT(testing::internal::GetCapturedStdout(),
              testing::AllOf(HasSubstr("lower bound"), HasSubstr("matmul")));
}

}  // namespace
}  // namespace tessera
