// Policies of ours on StarPU: the bits of its own schedulers, and no hang.
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <sstream>

#include "models/data/dataset.hpp"
#include "models/train/trainer.hpp"
#include "runtime/core/file.hpp"
#include "runtime/sched/policies.hpp"
#include "tests/models/scratch.hpp"
#include "tests/schedulers/library_cases.hpp"

namespace tessera::testing_schedulers {
namespace {

INSTANTIATE_TEST_SUITE_P(Schedulers, LibraryTest, testing::Values("starpu"),
                         [](const auto& engine) { return engine.param; });

Config small_config(const std::string& scheduler, int workers) {
  Config config;
  config.model = default_model(ModelKind::gpt2);
  config.model.layers = 2;
  config.model.heads = config.model.kv_heads = 4;
  config.model.width = 32;
  config.model.ffn = 48;
  config.model.vocab = 29;
  config.model.seq = 10;
  config.data.kind = DataKind::addition;
  config.data.digits = 2;
  config.train = {.steps = 12, .batch = 12, .lr = 1e-2, .dropout = 0.1, .seed = 7};
  config.run.workers = workers;
  config.run.scheduler = scheduler;
  config.run.tiling = "rows=16x3|12,16|16x2|12 heads=3|1 ffn=28|20 vocab=11,10|8";
  return config;
}

std::string weights(const std::string& scheduler, int workers) {
  const test::ScratchFolder folder;
  train(small_config(scheduler, workers), {.out = folder / "model"});
  return read_file(folder / "model/checkpoints/step-000012/optimizer.safetensors") +
         read_file(folder / "model/model.safetensors");
}

TEST(Policies, GiveTheBitsOfStarpusSchedulers) {
  const std::string expected = weights("lws", 1);
  std::vector<std::string> names{misbehaving("fifo")};
  for (const PolicyEntry& policy : policy_table()) names.emplace_back(policy.name);
  for (const std::string& name : names)
    for (int workers = 1; workers <= std::min(2, usable_cores()); ++workers)
      for (int time = 0; time < 3; ++time)
        EXPECT_TRUE(weights(name, workers) == expected) << name << ", " << workers << " workers";
}

TEST(Policies, ExplainEachTaskOfARun) {
  const test::ScratchFolder folder;
  train(small_config("affinity", 1), {.out = folder / "model", .explain_placement = folder / "why.jsonl"});
  std::istringstream text(read_file(folder / "why.jsonl"));
  int lines = 0;
  for (std::string line; std::getline(text, line); ++lines) {
    const nlohmann::json said = nlohmann::json::parse(line);
    EXPECT_EQ(said.at("worker"), "cpu 0");
    EXPECT_NE(said.at("reason"), "the policy does not say");
    EXPECT_GE(said.at("finish").at("cpu 0").get<double>(), 0);
    EXPECT_NE(said.at("task"), "");
  }
  EXPECT_GT(lines, 12 * 50);
}

TEST(Policies, TakeNothingFromTheEnvironment) {
  setenv("STARPU_SCHED", "random", 1);
  EXPECT_NO_THROW(Session({.workers = 1, .scheduler = "affinity"}));
  EXPECT_EQ(getenv("STARPU_SCHED"), nullptr);
  const Chains chains;  // what it does when the other one is chosen in the environment: nothing is explained
  const test::ScratchFolder folder;
  setenv("STARPU_SCHED", "random", 1);
  {
    Session session({.workers = 1, .scheduler = "affinity", .explain = (folder / "why").string()});
    Executor executor(session, chains.plan());
    const std::vector<float> ones(16, 1);
    executor.run({{chains.x, ones}}).wait();
  }
  const std::string why = read_file(folder / "why");
  EXPECT_EQ(std::count(why.begin(), why.end(), '\n'), 64);
}

TEST(Policies, AFileThatCannotBeWrittenLeavesStarpuUsable) {
  EXPECT_THAT([] { Session({.workers = 1, .scheduler = "affinity", .explain = "/nowhere/why"}); },
              ThrowsMessage<Error>(HasSubstr("/nowhere/why")));
  EXPECT_EQ(Session({.workers = 1, .scheduler = "affinity"}).engine().workers(), 1);
}

}  // namespace
}  // namespace tessera::testing_schedulers
