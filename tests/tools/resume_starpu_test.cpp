// Runs that are killed at any moment and resumed end with the bits of a run that was not.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "tests/tools/train_process.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr int64_t steps = 30, kills = 10;
const char* const last_checkpoint = "checkpoints/step-000030";

// The steps of the last complete checkpoint, by its name; looked for while the folder is being changed.
int64_t steps_done(const fs::path& out) {
  int64_t most = 0;
  for (const std::string& name : test::names_in(out / "checkpoints"))
    if (name.starts_with("step-")) most = std::max<int64_t>(most, std::stol(name.substr(5)));
  return most;
}

bool writes_checkpoint(const fs::path& out) {
  for (const std::string& name : test::names_in(out / "checkpoints"))
    if (name.starts_with(".step-")) return true;
  return false;
}

std::vector<nlohmann::json> metrics_of(const fs::path& out) {
  std::istringstream text(read_file(out / "metrics.jsonl"));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// A run that is killed again and again, on its way to `steps`.
class Killed {
 public:
  Killed(const test::TrainingSetup& setup, fs::path out, uint32_t seed)
      : setup_(setup), out_(std::move(out)), random_(seed) {}

  // Starts it, kills it some time later; what it had done by then must be whole.
  void kill_once() {
    const int64_t before = steps_done(out_);
    // Ten kills must fit into the run, so that it may not come far each time.
    const int64_t goal = std::min(before + pick(0, 2), 2 * (n_kills_ + 1));
    const auto begin = Clock::now();
    test::TrainProcess process(setup_, out_, {"--resume"});
    if (goal > before) {
      wait_until(process, [&] { return steps_done(out_) >= goal; });
      start_up_ = std::chrono::duration_cast<microseconds>(Clock::now() - begin).count();
      if (n_kills_ % 2 == 0)
        wait_until(process, [&] { return writes_checkpoint(out_); });
      else
        std::this_thread::sleep_for(microseconds(pick(0, 3000)));
    } else {
      std::this_thread::sleep_for(microseconds(pick(0, start_up_)));
    }
    process.kill();
    if (process.code() == 0) return start_over();  // a fast machine was through before the kill came
    ASSERT_EQ(process.code(), -1) << process.errors();
    ++n_kills_;
    inside_ += writes_checkpoint(out_);
    for (const std::string& name : test::names_in(out_ / "checkpoints")) {
      if (!name.starts_with("step-")) continue;
      for (const char* file : {"config.json", "model.safetensors", "optimizer.safetensors", "trainer.json"})
        EXPECT_TRUE(fs::exists(out_ / "checkpoints" / name / file)) << name << "/" << file;
    }
  }
  int64_t n_kills() const { return n_kills_; }
  int inside() const { return inside_; }  // kills while a checkpoint was being written

 private:
  void start_over() {
    ASSERT_LT(++n_starts_, 20) << "the run ends before it can be killed";
    fs::remove_all(out_);
    n_kills_ = 0;
  }
  int64_t pick(int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random_);
  }
  template <class Condition>
  void wait_until(test::TrainProcess& process, Condition condition) {
    while (!condition() && !process.over()) std::this_thread::sleep_for(microseconds(100));
  }

  const test::TrainingSetup& setup_;
  fs::path out_;
  std::mt19937 random_;
  int64_t start_up_ = 300'000;  // µs from the start of the process to its first checkpoint
  int64_t n_kills_ = 0, n_starts_ = 0;
  int inside_ = 0;
};

struct Subject {
  std::string name, model, dtype, heads;
};

class ResumeTest : public testing::TestWithParam<Subject> {};

TEST_P(ResumeTest, TenKillsChangeNoBit) {
  const Subject& subject = GetParam();
  const test::TrainingSetup setup(
      subject.model,
      fmt::format("steps = {}\nbatch = 6\naccumulate = 2\nclip = 0.5\ndropout = 0.1\nwarmup = 3\n"
                  "checkpoint_every = 1\nkeep = 2\nval_every = 8",
                  steps),
      fmt::format("dtype = \"{}\"\ntiling = \"rows=16x3|12,16|16x2|12 heads={} ffn=28|20 vocab=11,10|8\"",
                  subject.dtype, subject.heads));
  const fs::path straight = setup.out("straight"), killed = setup.out("killed");
  test::TrainProcess whole(setup, straight, {"--set", "run.workers=1"});
  ASSERT_EQ(whole.code(), 0) << whole.errors();

  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("random moments of seed {}", seed));
  Killed run(setup, killed, seed);
  while (run.n_kills() < kills) ASSERT_NO_FATAL_FAILURE(run.kill_once());
  EXPECT_GE(run.inside(), 1) << "no kill came while a checkpoint was being written";
  test::TrainProcess rest(setup, killed, {"--resume"});
  ASSERT_EQ(rest.code(), 0) << rest.errors();

  for (const fs::path& file : {fs::path("model.safetensors"), fs::path(last_checkpoint) / "model.safetensors",
                               fs::path(last_checkpoint) / "optimizer.safetensors"})
    EXPECT_TRUE(read_file(straight / file) == read_file(killed / file)) << file;
  EXPECT_EQ(test::names_in(killed), test::names_in(straight));
  EXPECT_EQ(test::names_in(killed / "checkpoints"), test::names_in(straight / "checkpoints"));

  const std::vector<nlohmann::json> expected = metrics_of(straight), lines = metrics_of(killed);
  ASSERT_EQ(expected.size(), static_cast<size_t>(steps));
  ASSERT_EQ(lines.size(), expected.size());
  for (size_t i = 0; i < lines.size(); ++i)
    for (const char* key : {"step", "loss", "lr", "grad_norm", "val_loss"})
      EXPECT_EQ(lines[i].value(key, nlohmann::json()), expected[i].value(key, nlohmann::json()))
          << key << " of step " << i + 1;
}

INSTANTIATE_TEST_SUITE_P(
    Train, ResumeTest,
    testing::Values(Subject{"gpt2_tied_bf16", "kind = \"gpt2\"\ntied = true", "bf16", "3|1"},
                    Subject{"llama_untied_f32", "kind = \"llama\"\ntied = false\nkv_heads = 2", "f32",
                            "1|1"}),
    [](const auto& subject) { return subject.param.name; });

}  // namespace
}  // namespace tessera
