// Performance models: guesses until there are samples, medians that outliers do not move, and files that may
// be damaged.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/performance_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "runtime/core/file.hpp"
#include "runtime/plan/footprint.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr Peaks peaks{.f32_flops = 1e9, .bf16_flops = 4e9, .memory_bytes = 1e8, .task_seconds = 1e-3};

TEST(PerformanceModel, GuessesFromFlopsBytesAndPeaks) {
  EXPECT_DOUBLE_EQ(analytic_seconds({.flops = 2e9, .bytes = 100}, peaks), 2 + 1e-3);
  EXPECT_DOUBLE_EQ(analytic_seconds({.flops = 2e9, .bytes = 100, .is_16_bit = true}, peaks), 0.5 + 1e-3);
  EXPECT_DOUBLE_EQ(analytic_seconds({.flops = 2e9, .bytes = 400'000'000}, peaks), 4 + 1e-3);
  EXPECT_DOUBLE_EQ(analytic_seconds({.flops = 1}, {.task_seconds = 1e-6}), 1e-6);
}

TEST(PerformanceModel, AsksPeaksOfTheKindOrNominalOnes) {
  PerformanceModel model;
  model.set_peaks("fast", peaks);
  const int fast = model.kind("fast"), unknown = model.kind("unknown");
  EXPECT_EQ(model.kind("fast"), fast);
  const auto& entry = model.entry({.footprint = 1, .flops = 1e9});
  EXPECT_DOUBLE_EQ(model.expected(entry, fast).seconds, 1 + 1e-3);
  EXPECT_NEAR(model.expected(entry, unknown).seconds, 1e9 / 50e9, 1e-3);
  EXPECT_TRUE(model.expected(entry, fast).young);
}

class Samples : public testing::Test {
 protected:
  void add(std::initializer_list<double> list) {
    for (double seconds : list) PerformanceModel::add(entry, kind, seconds);
  }
  Expected expected() const { return model.expected(entry, kind); }

  PerformanceModel model;
  int kind = model.kind("cpu");
  PerformanceModel::Entry& entry = model.entry({.footprint = 7});
};

TEST_F(Samples, AreNotTrustedBeforeThereAreThree) {
  add({2.0, 0.001});  // the first one compiled
  EXPECT_TRUE(expected().young);
  add({0.001});
  EXPECT_FALSE(expected().young);
  EXPECT_DOUBLE_EQ(expected().seconds, 0.001);
}

TEST_F(Samples, OutliersDoNotMoveTheMedian) {
  add({0.010, 0.011, 0.009, 0.010, 0.010});
  for (int k = 0; k < 100; ++k) add({k % 4 == 3 ? 100.0 : 0.010});
  EXPECT_DOUBLE_EQ(expected().seconds, 0.010);
}

TEST_F(Samples, AChangeThatLastsIsSeenWithinAWindow) {
  for (int k = 0; k < 100; ++k) add({0.010});
  for (int k = 0; k < PerformanceModel::window / 2 + 1; ++k) add({0.200});
  EXPECT_DOUBLE_EQ(expected().seconds, 0.200);
}

TEST_F(Samples, KindsAndFootprintsDoNotShareThem) {
  PerformanceModel two;
  const int a = two.kind("a"), b = two.kind("b");
  PerformanceModel::Entry &one = two.entry({.footprint = 1}), &other = two.entry({.footprint = 2});
  EXPECT_EQ(&two.entry({.footprint = 1}), &one);
  for (int k = 0; k < 3; ++k) PerformanceModel::add(one, a, 0.5);
  EXPECT_FALSE(two.expected(one, a).young);
  EXPECT_TRUE(two.expected(one, b).young);
  EXPECT_TRUE(two.expected(other, a).young);
}

class ModelFile : public testing::Test {
 protected:
  void SetUp() override { fs::remove(file); }
  void TearDown() override { fs::remove(file); }

  // What the model expects of the task on "cpu", read from the file; young where it holds nothing.
  Expected read() {
    PerformanceModel model(file);
    const int kind = model.kind("cpu");
    return model.expected(model.entry({.footprint = 0xfedcba9876543210}), kind);
  }
  void write(const fs::path& to) const {
    PerformanceModel model(to);
    const int kind = model.kind("cpu");
    model.set_peaks("cpu", peaks);
    auto& entry = model.entry({.footprint = 0xfedcba9876543210});
    for (int k = 0; k < 4; ++k) PerformanceModel::add(entry, kind, 0.25);
    model.save();
  }
  static std::string warnings(const std::function<void()>& work) {
    std::ostringstream text;
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)));
    work();
    spdlog::set_default_logger(before);
    return text.str();
  }

  const fs::path file =
      fs::path(testing::TempDir()) /
      fmt::format("performance_{}.json", testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ModelFile, IsReadBack) {
  write(file);
  EXPECT_FALSE(read().young);
  EXPECT_DOUBLE_EQ(read().seconds, 0.25);
  ASSERT_NE(PerformanceModel(file).peaks("cpu"), nullptr);
  EXPECT_EQ(*PerformanceModel(file).peaks("cpu"), peaks);
  EXPECT_EQ(PerformanceModel(file).peaks("gpu"), nullptr);
}

TEST_F(ModelFile, KeepsWhatAnotherRunMeasured) {
  write(file);
  PerformanceModel other(file);
  other.set_peaks("gpu", peaks);
  other.save();
  EXPECT_DOUBLE_EQ(read().seconds, 0.25);
}

TEST_F(ModelFile, LessThanAWindowOfNewSamplesOutvotesIt) {
  write(file);
  PerformanceModel model(file);
  const int kind = model.kind("cpu");
  auto& entry = model.entry({.footprint = 0xfedcba9876543210});
  PerformanceModel::add(entry, kind, 9);
  EXPECT_DOUBLE_EQ(model.expected(entry, kind).seconds, 0.25);
  for (int k = 0; k < PerformanceModel::trusted; ++k) PerformanceModel::add(entry, kind, 9);
  EXPECT_DOUBLE_EQ(model.expected(entry, kind).seconds, 9);
}

TEST_F(ModelFile, OfAnotherBuildIsBegunAnewWithOneWarning) {
  write(file);
  std::string text = read_file(file);
  text.replace(text.find(build_name()), 4, "0000");
  write_file(file, text);
  const std::string told = warnings([&] {
    EXPECT_TRUE(read().young);
    EXPECT_TRUE(read().young);
  });
  EXPECT_THAT(told, HasSubstr("another build"));
  EXPECT_THAT(told, HasSubstr("tessera calibrate"));
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
  write(file);
  EXPECT_FALSE(read().young);
}

TEST_F(ModelFile, DamagedIsBegunAnewWithOneWarning) {
  write(file);
  const std::string whole = read_file(file);
  std::string lied = whole;
  lied.replace(lied.find("0.25"), 4, "-1.5");
  std::string told;
  for (const std::string& text : {whole.substr(0, whole.size() / 2), std::string("{}"), std::string("[1]"),
                                  std::string(), std::string("\xff\xfe"), lied}) {
    write_file(file, text);
    told += warnings([&] { EXPECT_TRUE(read().young) << text; });
  }
  EXPECT_THAT(told, HasSubstr("damaged"));
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
  EXPECT_EQ(PerformanceModel(file).peaks("cpu"), nullptr);
}

TEST_F(ModelFile, ThatCannotBeWrittenIsAWarning) {
  EXPECT_THAT(warnings([&] { write("/proc/nowhere/performance.json"); }), HasSubstr("lost"));
}

// A plan of one task that reads a tile and writes another.
Plan one_task(DType dtype, int64_t rows, double flops, std::string_view name = "kernel") {
  static const Kernel kernels[] = {{.name = "kernel"}, {.name = "other"}};
  Plan plan;
  plan.tiles = {{.dtype = dtype, .rows = rows, .cols = 8}, {.dtype = DType::f32, .rows = rows, .cols = 8}};
  Stage stage;
  stage.kernel = &kernels[name == "other"];
  stage.accesses = {tessera::read(0), tessera::write(1)};
  stage.flops = flops;
  Task& task = plan.tasks.emplace_back();
  task.stages.push_back(std::move(stage));
  return plan;
}

TEST(Footprint, IsOfKernelsTypesShapesAndWork) {
  const auto of = [](const Plan& plan) { return footprint(plan, plan.tasks[0]); };
  const uint64_t plain = of(one_task(DType::f32, 4, 10));
  EXPECT_EQ(of(one_task(DType::f32, 4, 10)), plain);
  EXPECT_NE(of(one_task(DType::bf16, 4, 10)), plain);
  EXPECT_NE(of(one_task(DType::f32, 5, 10)), plain);
  EXPECT_NE(of(one_task(DType::f32, 4, 11)), plain);
  EXPECT_NE(of(one_task(DType::f32, 4, 10, "other")), plain);
  Plan elsewhere = one_task(DType::f32, 4, 10);
  elsewhere.tiles[0].row0 = 4;
  elsewhere.tasks[0].label = "another layer's";
  EXPECT_EQ(of(elsewhere), plain);
  EXPECT_TRUE(reads_16_bits(one_task(DType::bf16, 4, 10), one_task(DType::bf16, 4, 10).tasks[0]));
  EXPECT_FALSE(reads_16_bits(one_task(DType::f32, 4, 10), one_task(DType::f32, 4, 10).tasks[0]));
}

}  // namespace
}  // namespace tessera
