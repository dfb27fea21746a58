// Row cuts for workers of unlike speed.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>
#include <string>

#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/sched/performance_model.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::Le;

constexpr int64_t sequence = 256;

Config config_of(int64_t batch) {
  Config config;
  config.model = default_model(ModelKind::gpt2);
  config.model.layers = 1;
  config.model.heads = config.model.kv_heads = 8;
  config.model.width = 512;
  config.model.ffn = 2048;
  config.model.vocab = 256;
  config.model.seq = sequence;
  config.train.batch = batch;
  return config;
}

class TilingOfSpeeds : public testing::Test {
 protected:
  std::vector<int64_t> rows(const std::vector<WorkerSpeed>& speeds, int64_t parts = 1) const {
    const Tiling tiling =
        auto_tiling(*training.graph, {.sequence = sequence, .micro_batches = parts, .speeds = speeds});
    const Cuts cuts = tiling.cuts(Dim("rows", training.rows));
    std::vector<int64_t> sizes;
    for (int i = 0; i < cuts.count(); ++i) sizes.push_back(cuts.size(i));
    return sizes;
  }

  const TrainingGraph training{config_of(64)};  // 16,384 rows
};

// A row of a matrix product is 1.5 Mflop on average: 100 rows take 0.75 ms at 200 GF/s.
TEST_F(TilingOfSpeeds, GiveFastDevicesFewLargeTilesAndCoresManySmallOnes) {
  const std::vector<int64_t> sizes = rows({{.workers = 8, .flops = 300e9}, {.workers = 1, .flops = 12e12}});
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}), 16384);
  const auto small = std::find_if(sizes.begin(), sizes.end(), [](int64_t size) { return size < 1000; });
  const int64_t large_rows = std::accumulate(sizes.begin(), small, int64_t{0});
  EXPECT_NEAR(static_cast<double>(large_rows), 16384 * 12e12 / (12e12 + 8 * 300e9), 128);
  for (auto at = sizes.begin(); at != small; ++at) {
    const double seconds = static_cast<double>(*at) * 1.572864e6 / 12e12;
    EXPECT_THAT(seconds, AllOf(Ge(0.5e-3), Le(1e-3))) << *at;
  }
  for (auto at = small; at != sizes.end(); ++at) {
    const double seconds = static_cast<double>(*at) * 1.572864e6 / 300e9;
    EXPECT_THAT(seconds, AllOf(Ge(0.5e-3), Le(1e-3))) << *at;
  }
  EXPECT_GE(sizes.end() - small, 8) << "a tile for each core";
}

TEST_F(TilingOfSpeeds, DoNotChangeMachinesWhoseWorkersAreAlike) {
  const std::vector<int64_t> uniform = rows({});
  EXPECT_EQ(uniform, std::vector<int64_t>(32, 512));
  EXPECT_EQ(rows({{.workers = 8, .flops = 100e9}}), uniform);
  EXPECT_EQ(rows({{.workers = 4, .flops = 100e9}, {.workers = 1, .flops = 120e9}}), uniform);
}

TEST_F(TilingOfSpeeds, LeaveOutWhatIsTooSlowForATile) {
  EXPECT_EQ(rows({{.workers = 2, .flops = 100e9}, {.workers = 1, .flops = 1e9}}), rows({}));
}

TEST_F(TilingOfSpeeds, AreTheSameInEveryMicroBatch) {
  const std::vector<int64_t> sizes =
      rows({{.workers = 8, .flops = 300e9}, {.workers = 1, .flops = 12e12}}, 4);
  ASSERT_EQ(sizes.size() % 4, 0u);
  const size_t each = sizes.size() / 4;
  for (size_t i = 0; i < sizes.size(); ++i) EXPECT_EQ(sizes[i], sizes[i % each]);
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(each), int64_t{0}),
            4096);
}

TEST_F(TilingOfSpeeds, CoverRowsThatNoTileDivides) {
  for (const int64_t batch : {1, 3, 5, 7}) {
    const TrainingGraph odd(config_of(batch));
    const Tiling tiling = auto_tiling(*odd.graph, {.sequence = sequence,
                                                   .speeds = {{.workers = 3, .flops = 90e9},
                                                              {.workers = 1, .flops = 1e12},
                                                              {.workers = 2, .flops = 400e9}}});
    EXPECT_EQ(tiling.cuts(Dim("rows", odd.rows)).total(), odd.rows);
  }
}

// Tilings of 12 layers of GPT-2's, 16 sequences of 1024 tokens.
Tiling tiling_of_gpt2(const AutoTilingOptions& options) {
  Config config;
  config.model = default_model(ModelKind::gpt2);
  config.model.layers = config.model.heads = config.model.kv_heads = 12;
  config.model.width = 768;
  config.model.ffn = 3072;
  config.model.vocab = 50257;
  config.model.seq = 1024;
  config.train.batch = 16;
  config.run.dtype = DType::bf16;
  return auto_tiling(*TrainingGraph(config).graph, options);
}

constexpr WorkerSpeed gpu{.workers = 1, .flops = 400e12, .memory_bytes = 2e12, .device = true};
constexpr WorkerSpeed cores{.workers = 16, .flops = 100e9};

TEST(TilingOfADeviceAlone, IsOneRowTileAndWideColumnsInOneGroup) {
  const Tiling tiling = tiling_of_gpt2({.sequence = 1024, .speeds = {cores, gpu}});
  EXPECT_EQ(tiling.to_string(), "rows=16384 vocab=12544x4,81");
  EXPECT_EQ(tiling_of_gpt2({.sequence = 1024, .speeds = {gpu}}), tiling);
  EXPECT_EQ(tiling_of_gpt2({.sequence = 1024, .micro_batches = 2, .speeds = {gpu}}).to_string(),
            "rows=8192x2 vocab=12544x4,81");
}

TEST(TilingOfADeviceAlone, HasAGroupOfRowsForEachOfSeveral) {
  WorkerSpeed two = gpu;
  two.workers = 2;
  EXPECT_EQ(tiling_of_gpt2({.sequence = 1024, .speeds = {cores, two}}).cuts(Dim("rows", 16384)).to_string(),
            "8192|8192");
}

TEST(TilingOfADeviceAlone, IsAsFineAsThatOneIsSlow) {
  WorkerSpeed slow = gpu;
  slow.flops = 6e12;
  EXPECT_EQ(tiling_of_gpt2({.sequence = 1024, .speeds = {slow}}).cuts(Dim("rows", 16384)).size(0), 1024);
}

TEST(TilingOfADeviceAlone, IsAnotherWhereCoresHelp) {
  const WorkerSpeed like_a_core{.workers = 1, .flops = 120e9, .memory_bytes = 10e9, .device = true};
  EXPECT_FALSE(only_device(200, {{.workers = 1, .flops = 100e9}, like_a_core}));
  EXPECT_TRUE(only_device(200, {cores, gpu}));
}

TEST(TilingOfADeviceAlone, IsAnotherForCores) {
  WorkerSpeed core = gpu;
  core.device = false;
  EXPECT_EQ(tiling_of_gpt2({.sequence = 1024, .speeds = {core}}), tiling_of_gpt2({.sequence = 1024}));
}

TEST(CalibratedSpeeds, ComeFromTheFileAlone) {
  Config config = config_of(8);
  config.run.workers = 3;
  PerformanceModel model;
  model.set_peaks(cpu_kind(), {.f32_flops = 100e9, .bf16_flops = 200e9});
  EXPECT_TRUE(calibrated_speeds(config, model).empty()) << "only CPU workers";
  config.run.devices = {"cpu", "opencl:100000"};
  EXPECT_TRUE(calibrated_speeds(config, model).empty()) << "a device that is not there";
  EXPECT_EQ(useful_workers(config), 3);
}

class PlanBesideAFastDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
    setenv("TESSERA_CACHE", folder_.path.c_str(), 1);
  }
  void TearDown() override { setenv("TESSERA_CACHE", before_.c_str(), 1); }

  static Config cores(int64_t count) {
    Config config = config_of(64);
    config.run.devices = {fmt::format("cpu:{}", count), "opencl:0"};
    config.run.workers = count;
    return config;
  }
  static void calibrate(double core_flops) {
    PerformanceModel measured(performance_file());
    measured.set_peaks(cpu_kind(), {.f32_flops = core_flops, .bf16_flops = core_flops, .memory_bytes = 20e9});
    measured.set_peaks(opencl_devices()[0].kind(),
                       {.f32_flops = 500e12, .bf16_flops = 500e12, .memory_bytes = 2e12});
    measured.save();
  }
  static std::string plan_of(const Config& config) {
    return fingerprint(training_plan(config, *TrainingGraph(config).graph));
  }

 private:
  const test::ScratchFolder folder_;
  const std::string before_ = std::getenv("TESSERA_CACHE");  // as tests/main.cpp has set it
};

// A run on many cores and a GPU may not be slower than one on the GPU: it is the same run.
TEST_F(PlanBesideAFastDevice, IsTheSameForManyCoresAsForOne) {
  calibrate(100e9);
  EXPECT_EQ(useful_workers(cores(15)), 1);
  EXPECT_EQ(plan_of(cores(15)), plan_of(cores(1)));
}

TEST_F(PlanBesideAFastDevice, IsAnotherWhereCoresHelp) {
  calibrate(20e12);
  EXPECT_EQ(useful_workers(cores(15)), 15);
  EXPECT_NE(plan_of(cores(15)), plan_of(cores(1)));
}

}  // namespace
}  // namespace tessera
