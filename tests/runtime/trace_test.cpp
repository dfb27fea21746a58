// Traces: what Perfetto needs to draw them, and where the workers' time went.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/trace/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

using nlohmann::json;

void sleep_a_little(const TileArgs&) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

const Kernel first_kernel{.name = "first", .cpu = sleep_a_little};
const Kernel second_kernel{.name = "second", .cpu = sleep_a_little};

// 0 ─▶ 1 and 2; all three ─▶ 0 of the next step, which overwrites what they use. 0 has two stages.
Plan small_plan() {
  Plan plan;
  for (int i = 0; i < 3; ++i) {
    plan.tiles.push_back({.rows = 16, .cols = 16, .buffer = i});
    plan.buffers.push_back({.bytes = 1024, .residence = Residence::intermediate});
  }
  auto stage = [](const Kernel& kernel, const std::string& label, std::vector<Access> accesses) {
    return Stage{
        .kernel = &kernel, .op = nullptr, .accesses = std::move(accesses), .flops = 1000, .label = label};
  };
  plan.tasks.resize(3);
  plan.tasks[0].label = "block0/attention[0,0] backward";
  plan.tasks[0].stages = {stage(first_kernel, "block0/\"norm\"[0,0]", {write(0)}),
                          stage(second_kernel, "block0/attention[0,0] backward", {update(0)})};
  plan.tasks[1].label = "block0/ffn[0,0]";
  plan.tasks[1].stages = {stage(first_kernel, "block0/ffn[0,0]", {read(0), write(1)})};
  plan.tasks[2].label = "block0/ffn[1,0]";
  plan.tasks[2].stages = {stage(second_kernel, "block0/ffn[1,0]", {read(0), write(2)})};
  link_tasks(plan);
  return plan;
}

struct Slice {
  int64_t begin, end;
  json event;
};

int64_t ns(const json& microseconds) { return std::llround(microseconds.get<double>() * 1000); }

// Slices per track, after checking that they nest.
std::map<int, std::vector<Slice>> slices_of(const json& trace) {
  std::map<int, std::vector<Slice>> tracks;
  for (const json& event : trace.at("traceEvents"))
    if (event.at("ph") == "X")
      tracks[event.at("tid").get<int>()].push_back(
          {ns(event.at("ts")), ns(event.at("ts")) + ns(event.at("dur")), event});
  for (const auto& [track, slices] : tracks) {
    std::vector<int64_t> open;
    for (const Slice& slice : slices) {
      while (!open.empty() && open.back() <= slice.begin) open.pop_back();
      EXPECT_TRUE(open.empty() || slice.end <= open.back()) << slice.event;
      open.push_back(slice.end);
    }
  }
  return tracks;
}

TEST(Trace, HasTracksSlicesArrowsAndSteps) {
  const Plan plan = small_plan();
  const std::vector<std::vector<Record>> records{
      {{.step = 5, .task = 0, .stage = 0, .worker = 0, .begin = 1'000'100, .end = 1'001'100},
       {.step = 5, .task = 0, .stage = 1, .worker = 0, .begin = 1'001'200, .end = 1'002'345},
       {.step = 5, .task = 1, .stage = 0, .worker = 0, .begin = 1'002'500, .end = 1'003'000},
       {.step = 6, .task = 0, .stage = 0, .worker = 0, .begin = 1'003'100, .end = 1'003'200}},
      {{.step = 5, .task = 2, .stage = 0, .worker = 1, .begin = 1'002'345, .end = 1'004'000}}};
  const std::vector<StepStart> starts{{.step = 5, .at = 1'000'000}, {.step = 6, .at = 1'000'500}};
  const json trace = json::parse(chrome_trace({plan, records, starts}));

  std::map<int, std::vector<Slice>> tracks = slices_of(trace);
  ASSERT_EQ(tracks.size(), 2u);
  std::vector<std::string> names;
  for (const Slice& slice : tracks[1]) names.push_back(slice.event.at("name"));
  EXPECT_THAT(names, testing::ElementsAre("block0/attention[0,0] backward", "block0/\"norm\"[0,0]",
                                          "block0/attention[0,0] backward", "block0/ffn[0,0]",
                                          "block0/attention[0,0] backward", "block0/\"norm\"[0,0]"));
  EXPECT_EQ(tracks[1][1].event.at("cat"), "first");
  EXPECT_EQ(tracks[1][2].event.at("args").at("step"), 5);
  EXPECT_EQ(tracks[1][0].begin, 100) << "times count from the first step's start";
  EXPECT_EQ(tracks[1][0].end, 2345);

  std::map<int64_t, std::vector<json>> arrows;
  std::vector<std::string> threads, steps;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "s" || event.at("ph") == "f") arrows[event.at("id")].push_back(event);
    if (event.at("name") == "thread_name") threads.push_back(event.at("args").at("name"));
    if (event.at("ph") == "b") steps.push_back(event.at("name"));
  }
  EXPECT_THAT(threads, testing::ElementsAre("worker 0", "worker 1"));
  EXPECT_THAT(steps, testing::ElementsAre("step 5", "step 6"));
  ASSERT_EQ(arrows.size(), 4u) << "0 to 1 and 2; 1 and 2 to 0 of the next step";
  for (const auto& [id, ends] : arrows) {
    ASSERT_EQ(ends.size(), 2u);
    EXPECT_EQ(ends[0].at("ph"), "s");
    EXPECT_EQ(ends[1].at("ph"), "f");
    EXPECT_EQ(ends[1].at("bp"), "e");
    for (const json& end : ends) {
      const int64_t at = ns(end.at("ts"));
      const auto& track = tracks[end.at("tid").get<int>()];
      EXPECT_TRUE(std::any_of(track.begin(), track.end(),
                              [&](const Slice& slice) { return slice.begin <= at && at < slice.end; }))
          << "no slice for " << end;
    }
  }
}

TEST(Trace, TimeIsBusyEngineOrIdle) {
  const Plan plan = small_plan();
  // Worker 0: 100 until its first task, which was ready at 0; then 200 before the next, ready at 1000.
  // Worker 1: nothing for it until 1000, then 100 until task 2; nothing from 1500 on.
  const std::vector<std::vector<Record>> records{
      {{.step = 0, .task = 0, .stage = 0, .worker = 0, .begin = 100, .end = 600},
       {.step = 0, .task = 0, .stage = 1, .worker = 0, .begin = 600, .end = 1000},
       {.step = 0, .task = 1, .stage = 0, .worker = 0, .begin = 1200, .end = 2000}},
      {{.step = 0, .task = 2, .stage = 0, .worker = 1, .begin = 1100, .end = 1500}}};
  const std::vector<StepStart> starts{{.step = 0, .at = 0}};
  const KernelTimes times = kernel_times({plan, records, starts});

  EXPECT_EQ(times.steps, 1);
  EXPECT_NEAR(times.span, 2000e-9, 1e-15);
  EXPECT_NEAR(times.kernels.at("first").seconds, 1300e-9, 1e-15);
  EXPECT_NEAR(times.kernels.at("second").seconds, 800e-9, 1e-15);
  EXPECT_EQ(times.kernels.at("first").calls, 2);
  EXPECT_EQ(times.kernels.at("first").flops, 2000);
  // Before 100 one task waits for two free workers: half of that time is the engine's on each.
  EXPECT_NEAR(times.workers[0].engine, 50e-9 + 200e-9, 1e-15);
  EXPECT_NEAR(times.workers[0].idle, 50e-9, 1e-15);
  EXPECT_NEAR(times.workers[1].engine, 50e-9 + 100e-9, 1e-15);
  EXPECT_NEAR(times.workers[1].idle, 50e-9 + 900e-9 + 500e-9, 1e-15);
  for (const KernelTimes::Worker& worker : times.workers)
    EXPECT_NEAR(worker.busy + worker.engine + worker.idle, times.span, 1e-15);
}

TEST(Trace, OfStepsThatRan) {
  Session session({.engine = "threads", .workers = 2});
  Executor executor(session, small_plan(), {.record = true});
  for (int step = 0; step < 3; ++step) executor.run();
  executor.wait();
  const KernelTimes times = kernel_times(recording_of(executor));
  EXPECT_EQ(times.steps, 3);
  EXPECT_EQ(times.kernels.at("first").calls, 6);
  EXPECT_GE(times.kernels.at("first").seconds, 6e-3);
  EXPECT_NEAR(times.busy() + times.engine() + times.idle(), 2 * times.span, 1e-9);

  const std::filesystem::path file = std::filesystem::path(testing::TempDir()) / "tessera_trace_test.json";
  write_chrome_trace(recording_of(executor), file);
  size_t slices = 0;
  for (const auto& [track, list] : slices_of(json::parse(read_file(file)))) slices += list.size();
  EXPECT_EQ(slices, 3u * (4 + 1));
  std::filesystem::remove(file);

  executor.clear_records();
  EXPECT_EQ(kernel_times(recording_of(executor)).steps, 0);
  EXPECT_NO_THROW(json::parse(chrome_trace(recording_of(executor))));
  EXPECT_THROW(write_chrome_trace(recording_of(executor), "/nowhere/trace.json"), Error);
}

}  // namespace
}  // namespace tessera
