// Runs on unlike workers, recorded and repeated bit for bit.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "runtime/device/opencl.hpp"
#include "tests/tools/train_process.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using Options = std::vector<std::string>;

class PlacementTest : public testing::Test {
 protected:
  void SetUp() override {
    if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
  }
  int train(const std::string& name, const Options& options, const Options& devices = mixed) const {
    return started(name, options, devices).code();
  }
  std::string complaint(const std::string& name, const Options& options,
                        const Options& devices = mixed) const {
    test::TrainProcess process = started(name, options, devices);
    EXPECT_EQ(process.code(), 2) << process.errors();
    EXPECT_FALSE(fs::exists(setup.out(name)));
    return process.complaint();
  }
  test::TrainProcess started(const std::string& name, const Options& options, const Options& devices) const {
    Options words = devices;
    words.insert(words.end(), options.begin(), options.end());
    return {setup, setup.out(name), words};
  }
  std::string file(const std::string& name) const { return (setup.folder / (name + ".jsonl")).string(); }
  std::string weights(const std::string& name) const {
    return read_file(setup.out(name) / "model.safetensors");
  }
  std::vector<nlohmann::json> losses(const std::string& name) const {
    std::istringstream text(read_file(setup.out(name) / "metrics.jsonl"));
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(text, line);) {
      const nlohmann::json json = nlohmann::json::parse(line);
      for (const char* key : {"loss", "grad_norm", "val_loss"})
        all.push_back(json.value(key, nlohmann::json()));
    }
    return all;
  }

  static inline const Options mixed{"--devices", "cpu:1,opencl:0", "--scheduler", "round_robin"};
  const test::TrainingSetup setup{"kind = \"gpt2\"",
                                  "steps = 6\nbatch = 6\ndropout = 0.1\nschedule = "
                                  "\"constant\"\ncheckpoint_every = 2\nkeep = 1000\nval_every = 3",
                                  "tiling = \"rows=16x3|12 heads=3|1 ffn=28|20 vocab=11,10|8\""};
};

TEST_F(PlacementTest, IsRepeatedBitForBitWhateverTheScheduler) {
  ASSERT_EQ(train("first", {"--record-placement", file("first")}), 0);
  const std::string recorded = read_file(file("first"));
  EXPECT_THAT(recorded, AllOf(HasSubstr("\"choices\":{\"opencl "), HasSubstr("\"matmul f32\":\""),
                              HasSubstr("{\"step\":6,"), HasSubstr("{\"validation\":3,\"batch\":0,")));
  for (const char* scheduler : {"round_robin", "lws", "dmdas"}) {
    const Options devices{"--devices", "opencl:0,cpu:1", "--scheduler", scheduler};
    const std::string name = std::string("under_") + scheduler;
    ASSERT_EQ(train(name, {"--replay-placement", file("first"), "--record-placement", file(name)}, devices),
              0);
    EXPECT_TRUE(weights(name) == weights("first")) << name;
    EXPECT_EQ(losses(name), losses("first")) << name;
    EXPECT_EQ(read_file(file(name)), recorded) << name;
  }
  ASSERT_EQ(train("cpu", {}, {"--devices", "cpu:1"}), 0);
  EXPECT_FALSE(weights("cpu") == weights("first"))
      << "both kinds give the same bits: this test shows nothing";
}

TEST_F(PlacementTest, AKilledRunGoesOnWithItsFile) {
  {
    test::TrainProcess process =
        started("killed", {"--record-placement", file("killed"), "--set", "train.steps=100000"}, mixed);
    const fs::path checkpoint = setup.out("killed") / "checkpoints/step-000004";
    while (!fs::exists(checkpoint) && !process.over())
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ASSERT_FALSE(process.over()) << process.errors();
    process.kill();
  }
  for (const std::string& name : test::names_in(setup.out("killed") / "checkpoints"))
    if (name != "step-000002" && name != "step-000004")
      fs::remove_all(setup.out("killed") / "checkpoints" / name);
  EXPECT_THAT(read_file(setup.out("killed") / "checkpoints/step-000004/trainer.json"),
              AllOf(HasSubstr("\"choices\""), HasSubstr("\"matmul f32\"")));
  const Options to_eight{"--set", "train.steps=8"};
  Options resumed{"--resume", "--record-placement", file("killed")},
      replayed{"--replay-placement", file("killed")};
  for (Options* options : {&resumed, &replayed})
    options->insert(options->end(), to_eight.begin(), to_eight.end());
  ASSERT_EQ(train("killed", resumed), 0);
  ASSERT_EQ(train("again", replayed), 0);
  EXPECT_TRUE(weights("again") == weights("killed"));
  EXPECT_EQ(losses("again"), losses("killed"));
}

TEST_F(PlacementTest, MistakesAreOneLineAndLeaveNothing) {
  ASSERT_EQ(train("first", {"--record-placement", file("first"), "--set", "train.steps=1"}), 0);
  const std::string whole = read_file(file("first"));
  EXPECT_THAT(complaint("model", {"--replay-placement", file("missing")}), HasSubstr("no such file"));
  EXPECT_THAT(complaint("model", {"--replay-placement", file("first")}, {"--devices", "cpu:1"}),
              AllOf(HasSubstr("tasks ran on 'opencl "), HasSubstr("--devices")));
  EXPECT_THAT(complaint("model", {"--replay-placement", file("first"), "--set", "train.dropout=0"}),
              HasSubstr("another plan"));
  EXPECT_THAT(complaint("model", {"--replay-placement", file("first"), "--record-placement", file("first")}),
              HasSubstr("into another file"));
  EXPECT_THAT(complaint("model", {"--record-placement", "/nowhere/placement"}),
              HasSubstr("/nowhere/placement"));
  EXPECT_EQ(read_file(file("first")), whole);
  setup.folder.write("first.jsonl", whole.substr(0, whole.find("\"tasks\"")) + "\n");
  EXPECT_THAT(complaint("model", {"--replay-placement", file("first")}), HasSubstr("first.jsonl: line "));
}

}  // namespace
}  // namespace tessera
