// The executor on StarPU, with its schedulers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <thread>

#include "codelets/gelu/gelu.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/sum/sum.hpp"
#include "runtime/plan/passes.hpp"
#include "tests/runtime/failure_cases.hpp"
#include "tests/runtime/live_plans_cases.hpp"
#include "tests/runtime/run_graph.hpp"
#include "tests/runtime/steps_cases.hpp"

namespace tessera::testing_ops {
namespace {

EngineOptions on(const std::string& scheduler, int workers) { return {"starpu", workers, scheduler}; }

const auto every = testing::Values(on("lws", 1), on("lws", 2), on("eager", 2), on("prio", 2), on("dmdas", 2));

INSTANTIATE_TEST_SUITE_P(Executor, StepsTest, every, engine_name);
INSTANTIATE_TEST_SUITE_P(Executor, OverlapTest, testing::Values(on("eager", 2), on("prio", 2)), engine_name);
INSTANTIATE_TEST_SUITE_P(Executor, FailuresTest, every, engine_name);
INSTANTIATE_TEST_SUITE_P(Executor, LivePlansTest, every, engine_name);

// As with one GPU beside one core: tasks of both, and values that go from one's memory to the other's.
const auto one_device =
    testing::Values(EngineOptions{.workers = 1, .scheduler = "eager", .opencl = {0}, .copies = true},
                    EngineOptions{.workers = 1, .scheduler = "affinity", .opencl = {0}, .copies = true});
INSTANTIATE_TEST_SUITE_P(OneDevice, StepsTest, one_device, engine_name);
INSTANTIATE_TEST_SUITE_P(OneDevice, FailuresTest, one_device, engine_name);
INSTANTIATE_TEST_SUITE_P(OneDevice, LivePlansTest, one_device, engine_name);

TEST(Starpu, RunsOnceInAProcess) {
  {
    Session session(on("lws", 1));
    EXPECT_THAT([] { Session(on("lws", 1)); },
                ThrowsMessage<Error>(HasSubstr("StarPU runs once in a process")));
    Session beside({.engine = "threads", .workers = 1});
  }
  EXPECT_EQ(Session(on("eager", 1)).engine().workers(), 1);
}

TEST(Starpu, TakesItsOptionsFromUsAlone) {
  setenv("STARPU_SCHED", "random", 1);
  setenv("STARPU_NCPU", "1", 1);
  const int workers = std::min(2, usable_cores());
  EXPECT_EQ(Session(on("prio", workers)).engine().workers(), workers);
  EXPECT_STREQ(getenv("STARPU_SCHED"), "prio");
  unsetenv("STARPU_NCPU");
}

// With work stealing, a worker goes on with what its task made ready, so that chains do not change their
// worker; but not for long, and a busy machine makes it long.
TEST(Starpu, AChainStaysWithItsWorker) {
  constexpr size_t length = 10;
  constexpr int steps = 20;
  Graph graph;
  std::vector<std::thread::id> ran[2];
  for (int c = 0; c < 2; ++c) {
    Tensor y = graph.variable("v" + std::to_string(c), {1}, DType::f32);
    for (size_t i = 0; i < length; ++i)
      y = call("link", {y}, [&ran, c](const TileArgs&) { ran[c].push_back(std::this_thread::get_id()); });
    graph.fetch(y);
  }
  Session session(on("lws", std::min(2, usable_cores())));
  Executor executor(session, make_plan(graph, {}));
  int stayed = 0;
  for (int step = 0; step < steps; ++step) {
    executor.run().wait();
    for (auto& chain : ran) {
      ASSERT_EQ(chain.size(), length);
      stayed += std::count(chain.begin(), chain.end(), chain.front()) == ptrdiff_t{length} ? 1 : 0;
      chain.clear();
    }
  }
  EXPECT_GT(stayed, steps);  // of twice as many
}

// Four training steps on ragged tiles in groups.
std::vector<std::vector<float>> trained(const EngineOptions& options) {
  Graph graph;
  Tensor y = graph.input("x", {{"rows", 13}, 8}, DType::f32);
  const Tensor x = y;
  std::vector<Tensor> parameters;
  for (int i = 0; i < 3; ++i) {
    parameters.push_back(
        graph.variable("up" + std::to_string(i), {8, {"ffn", 10}}, DType::f32, {.std = 0.5f}));
    parameters.push_back(
        graph.variable("down" + std::to_string(i), {{"ffn", 10}, 8}, DType::f32, {.std = 0.5f}));
    y = matmul(gelu(matmul(y, parameters[parameters.size() - 2])), parameters.back());
  }
  Tensor head = graph.variable("head", {8, 1}, DType::f32, {.std = 1});
  Tensor loss = sum_rows(matmul(y, head));
  const std::vector<Tensor> gradients = graph.grad(loss, parameters);
  for (size_t k = 0; k < parameters.size(); ++k)
    call("update", {parameters[k], gradients[k]},
         each([](const auto& d, float w) { return w - 0.003f * d[0]; }), {.in_place = 0});
  Session session(options, 5);
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=2x2|2,1|2x2|2 ffn=4|3,3")}),
                    {.poison = true});
  const std::vector<float> fed = values_for("x", 13 * 8);
  for (int step = 0; step < 4; ++step) executor.run({{x, fed}});
  std::vector<std::vector<float>> values;
  for (const std::string& name : session.names()) values.push_back(session.get(name));
  return values;
}

TEST(SameBits, OnEveryEngineSchedulerAndNumberOfWorkers) {
  const auto expected = trained({.engine = "threads", .workers = 1});
  ASSERT_TRUE(std::isfinite(expected[0][0]));
  for (int workers = 1; workers <= std::min(2, usable_cores()); ++workers) {
    EXPECT_EQ(trained({.engine = "threads", .workers = workers}), expected) << workers;
    for (const char* scheduler : {"eager", "lws", "prio", "dmdas"})
      for (int time = 0; time < 2; ++time)
        EXPECT_EQ(trained(on(scheduler, workers)), expected) << scheduler << ' ' << workers;
  }
}

}  // namespace
}  // namespace tessera::testing_ops
