// tessera calibrate: what it finds is kept, shown by info, and used; the bar.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/device/opencl.hpp"
#include "tests/tools/run_program.hpp"
#include "tools/tessera/gauge.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

constexpr auto config = R"([model]
kind = "gpt2"
layers = 1
heads = 2
width = 32
seq = 12
[data]
kind = "addition"
digits = 3
[train]
steps = 4
batch = 16
lr = 1e-3
)";

class CalibrateTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder);
    fs::create_directories(folder);
    write_file(folder / "small.toml", config);
  }
  void TearDown() override { fs::remove_all(folder); }
  Outcome run(const std::string& arguments) const {
    return run_program(arguments, fmt::format("TESSERA_CACHE='{}'", (folder / "cache").string()));
  }
  json calibrate(const std::string& devices) const {
    const Outcome outcome =
        run(fmt::format("calibrate '{}' --devices {} --json", (folder / "small.toml").string(), devices));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("cpu: matrix products, memory\n"));
    return outcome.code == 0 ? outcome.json_lines().at(0) : json();
  }

  const fs::path folder = fs::path(testing::TempDir()) / "calibrate";
};

TEST_F(CalibrateTest, MeasuresCpuWorkers) {
  const json line = calibrate("cpu:1");
  ASSERT_FALSE(line.is_null());
  ASSERT_EQ(line.at("kinds").size(), 1u);
  const json& cpu = line.at("kinds")[0];
  EXPECT_GT(cpu.at("f32_gflops"), 0.1);
  EXPECT_GT(cpu.at("bf16_gflops"), 0.1);
  EXPECT_GT(cpu.at("memory_gb_per_s"), 0.01);
  EXPECT_GT(line.at("tasks_measured"), 10);
  EXPECT_EQ(line.at("tasks_measured"), line.at("tasks_wanted"));
  EXPECT_TRUE(fs::exists(line.at("file").get<std::string>()));

  const json devices = run("info --json").json_lines().at(0).at("devices");
  EXPECT_EQ(devices[0].at("matmul_gflops").at("f32"), cpu.at("f32_gflops"));
}

TEST_F(CalibrateTest, MeasuresAnOpenclDeviceAndMixedRunsUseIt) {
  if (opencl_devices().empty()) GTEST_SKIP() << "there is no OpenCL device";
  const json line = calibrate("cpu:1,opencl:0");
  ASSERT_FALSE(line.is_null());
  ASSERT_EQ(line.at("kinds").size(), 2u);
  const json& device = line.at("kinds")[1];
  for (const char* key : {"f32_gflops", "bf16_gflops", "memory_gb_per_s", "to_device_gb_per_s", "task_us"})
    EXPECT_GT(device.at(key), 0) << key;
  EXPECT_EQ(line.at("tasks_measured"), line.at("tasks_wanted"));
  EXPECT_TRUE(fs::exists(folder / "cache" / "matmul.jsonl")) << "the search for matmul's sizes";

  const Outcome text = run("info");
  EXPECT_THAT(text.out, HasSubstr("GF/s"));
  const std::string file = line.at("file");
  const std::string before = read_file(file);
  const Outcome mixed = run("bench mixed --shape chargpt --rounds 1 --steps 1 --json");
  ASSERT_EQ(mixed.code, 0) << mixed.err;
  const json measured = mixed.json_lines().at(0);
  EXPECT_GT(measured.at("mixed_step_s"), 0);
  EXPECT_GT(measured.at("speedup"), 0);
  EXPECT_GE(measured.at("device_share"), 0);
  EXPECT_LE(measured.at("device_share"), 1);
  const json kept = json::parse(read_file(file)), was = json::parse(before);
  EXPECT_EQ(kept.at("kinds"), was.at("kinds")) << "a run does not change the speeds that tilings go by";
  EXPECT_GT(kept.at("tasks").size(), was.at("tasks").size()) << "but keeps what its tasks took";
}

TEST_F(CalibrateTest, BeginsADamagedFileAnew) {
  const json line = calibrate("cpu:1");
  ASSERT_FALSE(line.is_null());
  write_file(line.at("file").get<std::string>(), "{");
  const Outcome told = run("info --json");
  EXPECT_EQ(told.code, 0);
  EXPECT_THAT(told.out, HasSubstr("\"matmul_gflops\":null"));
  EXPECT_THAT(told.err, HasSubstr("tessera calibrate"));
  EXPECT_EQ(told.json_lines().size(), 1u) << "warnings do not go where JSON does";
  ASSERT_FALSE(calibrate("cpu:1").is_null());
  const json devices = run("info --json").json_lines().at(0).at("devices");
  EXPECT_FALSE(devices[0].at("matmul_gflops").is_null());
}

TEST(Gauge, ShowsShareAndWork) {
  EXPECT_EQ(gauge_line(0, "a"), "[>                       ]   0 %  a");
  EXPECT_EQ(gauge_line(0.5, "b"), "[============>           ]  50 %  b");
  EXPECT_EQ(gauge_line(1, "c"), "[========================] 100 %  c");
  EXPECT_EQ(gauge_line(7, "c"), gauge_line(1, "c"));
}

}  // namespace
}  // namespace tessera
