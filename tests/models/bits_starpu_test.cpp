// The same plan gives the same bits: whatever the engine, the scheduler, the workers, recomputation,
// accumulation.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <fstream>

#include "models/data/dataset.hpp"
#include "models/train/plans.hpp"
#include "models/train/trainer.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/file.hpp"
#include "runtime/core/machine.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

constexpr int steps = 30, times = 5;

class Sha256 {
 public:
  Sha256() { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
  Sha256(const Sha256&) = delete;
  ~Sha256() { EVP_MD_CTX_free(context_); }
  void add(std::span<const std::byte> bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  std::string hex() {
    unsigned char sum[32];
    EVP_DigestFinal_ex(context_, sum, nullptr);
    std::string text;
    for (unsigned char byte : sum) text += fmt::format("{:02x}", byte);
    return text;
  }

 private:
  EVP_MD_CTX* context_ = EVP_MD_CTX_new();
};

// Weights and optimizer state, all of them, with their names.
std::string hash_of(Session& session) {
  Sha256 hash;
  for (const std::string& name : session.names()) {
    std::vector<std::byte> bytes(static_cast<size_t>(session.type(name).bytes()));
    session.read(name, bytes.data());
    hash.add(std::as_bytes(std::span(name)));
    hash.add(bytes);
  }
  return hash.hex();
}

struct Subject {
  ModelKind kind;
  bool tied;
  DType dtype;

  std::string name() const {
    return fmt::format("{}_{}_{}", kind == ModelKind::gpt2 ? "gpt2" : "llama", tied ? "tied" : "untied",
                       name_of(dtype));
  }
};

// 120 rows: micro-batches of 60, eight tiles in four groups, chained and treed; every axis ends in a smaller
// tile.
std::string ragged_tiling(const Subject& subject, std::string_view rows = "16x3|12,16|16x2|12") {
  return fmt::format("rows={} heads={} ffn=28|20 vocab=11,10|8", rows,
                     subject.kind == ModelKind::gpt2 ? "3|1" : "1|1");
}

Config config_of(const Subject& subject) {
  Config config;
  config.model = default_model(subject.kind);
  config.model.layers = 1;
  config.model.heads = 4;
  config.model.kv_heads = subject.kind == ModelKind::gpt2 ? 4 : 2;
  config.model.width = 32;
  config.model.ffn = 48;
  config.model.vocab = 29;
  config.model.seq = 10;  // a sum and a row of padding
  config.model.tied = subject.tied;
  config.data.kind = DataKind::addition;
  config.data.digits = 2;
  config.train = {.steps = steps,
                  .batch = 6,
                  .accumulate = 2,
                  .lr = 1e-2,
                  .min_lr = 1e-3,
                  .warmup = 3,
                  .clip = 0.5,
                  .dropout = 0.1,
                  .seed = 7};
  config.run.workers = 1;
  config.run.dtype = subject.dtype;
  config.run.tiling = ragged_tiling(subject);
  return config;
}

// What a run of a configuration needs, made once for many runs.
struct Job {
  explicit Job(Config c)
      : config(std::move(c)), training(config), plan(training_plan(config, *training.graph)) {
    Config all = config;  // a batch of the loader holds a step's micro-batches
    all.train.batch *= all.train.accumulate;
    const Dataset data = open_dataset(all);
    for (int i = 0; i < steps; ++i) batches.push_back(data.train->at(i));
  }

  Config config;
  TrainingGraph training;
  Plan plan;
  std::vector<Batch> batches;
};

struct Outcome {
  std::string hash;
  std::vector<float> losses, scales;  // per step
};

Outcome run(const Job& job, const EngineOptions& engine, const ExecutorOptions& options = {}) {
  const TrainingGraph& training = job.training;
  const auto seed = static_cast<int32_t>(job.config.train.seed);
  Session session(engine, static_cast<uint64_t>(seed));
  Executor executor(session, job.plan, options);
  std::vector<Executor::Step> running;
  for (int32_t i = 0; i < steps; ++i) {
    const std::vector<int32_t> rng{seed, i}, step{i + 1};
    const std::vector<float> lr{static_cast<float>(learning_rate(job.config.train, i))};
    std::vector<Feed> feeds = training.batch.feeds(job.batches[static_cast<size_t>(i)]);
    feeds.insert(feeds.end(), {{training.rng, rng}, {training.lr, lr}, {training.step, step}});
    running.push_back(executor.run(feeds));
  }
  Outcome outcome;
  for (const Executor::Step& step : running) {
    outcome.losses.push_back(step.scalar(training.loss));
    outcome.scales.push_back(step.get(training.control)[0]);
  }
  outcome.hash = hash_of(session);
  return outcome;
}

class BitsTest : public testing::TestWithParam<Subject> {};

TEST_P(BitsTest, DoNotDependOnEngineSchedulerOrWorkers) {
  const Job job(config_of(GetParam()));
  ASSERT_GT(job.plan.tasks.size(), 0U);
  const std::string expected = run(job, {.engine = "threads", .workers = 1}, {.poison = true}).hash;
  for (int workers : {1, 2}) {
    if (workers > usable_cores()) GTEST_SKIP() << "this machine has one core: two workers were not tried";
    for (int time = 0; time < times; ++time) {
      EXPECT_EQ(run(job, {.engine = "threads", .workers = workers}).hash, expected)
          << "threads, " << workers << " workers, run " << time;
      for (const char* scheduler : {"eager", "lws", "prio", "dmdas"})
        EXPECT_EQ(run(job, {.workers = workers, .scheduler = scheduler}).hash, expected)
            << scheduler << ", " << workers << " workers, run " << time;
    }
  }
}

// What the equality above rests on: the runs learn, clip and drop, and another seed is another run.
TEST_P(BitsTest, AreOfRunsThatLearnClipAndDrop) {
  const EngineOptions engine{.engine = "threads", .workers = 1};
  const Outcome outcome = run(Job(config_of(GetParam())), engine);
  EXPECT_LT(outcome.losses.back(), 0.8 * outcome.losses.front());
  EXPECT_LT(*std::ranges::min_element(outcome.scales), 1);
  Config without = config_of(GetParam());
  without.train.dropout = 0;
  EXPECT_NE(run(Job(without), engine).losses[0], outcome.losses[0]);
  Config other = config_of(GetParam());
  other.train.seed = 8;
  EXPECT_NE(run(Job(other), engine).hash, outcome.hash);
}

TEST_P(BitsTest, DoNotDependOnRecomputation) {
  const EngineOptions engine{.engine = "threads", .workers = std::min(2, usable_cores())};
  const Job kept(config_of(GetParam()));
  const std::string expected = run(kept, engine).hash;
  for (Recompute recompute : {Recompute::attention, Recompute::block}) {
    Config config = config_of(GetParam());
    config.train.recompute = recompute;
    const Job again(config);
    EXPECT_GT(again.plan.tasks.size(), kept.plan.tasks.size());
    EXPECT_EQ(run(again, engine, {.poison = true}).hash, expected);
    EXPECT_EQ(run(again, {.workers = engine.workers}).hash, expected);
  }
}

TEST_P(BitsTest, DoNotDependOnAccumulation) {
  Config parts = config_of(GetParam());
  parts.run.tiling = ragged_tiling(GetParam(), "17,13,17|13,17|13,17|13");
  parts.train.batch = 3;
  parts.train.accumulate = 4;
  Config whole = parts;
  whole.train.batch = 12;
  whole.train.accumulate = 1;
  const Job in_parts(parts), at_once(whole);
  EXPECT_LT(in_parts.plan.intermediate_bytes(), at_once.plan.intermediate_bytes());
  const EngineOptions engine{.engine = "threads", .workers = std::min(2, usable_cores())};
  EXPECT_EQ(run(in_parts, engine, {.poison = true}).hash, run(at_once, engine, {.poison = true}).hash);

  const test::ScratchFolder folder;
  for (const Config& config : {parts, whole})
    train(config, {.out = folder / std::to_string(config.train.batch)});
  for (const char* file : {"model.safetensors", "checkpoints/step-000030/optimizer.safetensors"})
    EXPECT_TRUE(read_file(folder.path / "3" / file) == read_file(folder.path / "12" / file)) << file;
}

std::vector<Subject> subjects() {
  std::vector<Subject> all;
  for (ModelKind kind : {ModelKind::gpt2, ModelKind::llama})
    for (bool tied : {true, false})
      for (DType dtype : {DType::f32, DType::bf16}) all.push_back({kind, tied, dtype});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Models, BitsTest, testing::ValuesIn(subjects()),
                         [](const auto& subject) { return subject.param.name(); });

}  // namespace
}  // namespace tessera
