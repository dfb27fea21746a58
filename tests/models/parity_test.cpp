// Training steps of a small GPT-2 and a small LLaMA against the losses that PyTorch had (goldens/parity.py).
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/checkpoint/hf_weights.hpp"
#include "models/config/hf_config.hpp"
#include "models/train/trainer.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/file.hpp"
#include "tests/paths.hpp"

namespace tessera {
namespace {

// Eight row tiles in four groups, so that chains and the tree are both used, and a ragged last tile; columns
// cut too.
std::string ragged_tiling(const ModelConfig& model) {
  const int64_t half = model.kv_heads / 2;  // heads are cut between key/value heads
  return fmt::format("rows=20x2|20x2|20x2|24,16 heads={}|{} ffn=48|32 vocab=32,29", half, half);
}

Batch packed_batch(const nlohmann::json& step, int64_t seq) {
  Batch batch(static_cast<int64_t>(step["tokens"].size()));
  for (size_t row = 0; row < batch.tokens.size(); ++row) {
    const auto r = static_cast<int64_t>(row);
    batch.set(r, r / seq * seq, step["tokens"][row].get<int32_t>(), step["labels"][row].get<int32_t>());
  }
  return batch;
}

class ParityTest : public testing::TestWithParam<const char*> {};

TEST_P(ParityTest, LossesOfTwentySteps) {
  const std::filesystem::path folder = std::filesystem::path(test::source_path("tests/goldens")) / GetParam();
  const nlohmann::json golden = nlohmann::json::parse(read_file(folder / "losses.json"));
  const nlohmann::json& settings = golden["settings"];
  Config config;
  config.model = read_hf_config(folder / "config.json").model;
  config.train = {.steps = settings["steps"],
                  .batch = settings["batch"],
                  .lr = settings["lr"],
                  .min_lr = settings["min_lr"],
                  .warmup = settings["warmup"],
                  .betas = settings["betas"],
                  .weight_decay = settings["weight_decay"],
                  .clip = settings["clip"]};
  TrainingGraph training(config);
  const Tiling tiling = Tiling::parse(ragged_tiling(config.model));
  Session session({.engine = "threads", .workers = 2});
  Executor executor(session, make_plan(*training.graph, {.tiling = tiling}), {.poison = true});
  load_weights(folder, config.model, session);
  int32_t index = 0;
  for (const nlohmann::json& step : golden["steps"]) {
    const Batch batch = packed_batch(step, config.model.seq);
    const std::vector<float> lr{static_cast<float>(learning_rate(config.train, index))};
    const std::vector<int32_t> rng{0, index}, count{index + 1};
    std::vector<Feed> feeds = training.batch.feeds(batch);
    feeds.insert(feeds.end(), {{training.rng, rng}, {training.lr, lr}, {training.step, count}});
    const double loss = executor.run(feeds).scalar(training.loss), expected = step["loss"];
    EXPECT_NEAR(loss, expected, 1e-4 * expected) << "step " << index;
    ++index;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ParityTest, testing::Values("gpt2", "llama"));

}  // namespace
}  // namespace tessera
