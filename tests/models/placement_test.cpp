// The file of a run's placement: written, read, gone on with, and refused.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/placement.hpp"

#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using test::error_of;
using testing::HasSubstr;

TEST(PackedKindsTest, AreShortAndComeBack) {
  EXPECT_EQ(packed_kinds("aaabab--"), "3abab2-");
  EXPECT_EQ(packed_kinds(""), "");
  for (const std::string kinds : {"", "a", "abba", "cccccccccccca-b"})
    EXPECT_EQ(unpacked_kinds(packed_kinds(kinds), kinds.size(), "it"), kinds);
  for (const char* bad : {"3", "a?", "A", "7a", "99999999999999999999a", "1", "2b6a"})
    EXPECT_THAT(error_of([&] { unpacked_kinds(bad, 6, "it"); }), HasSubstr("it: its tasks")) << bad;
}

const RunPlans plans{"rows=4|4", "11aa", "22bb", 3, 2};
const WorkerKinds here{{"cpu x", "gpu y"}, {0, 1}};

class PlacementTest : public testing::Test {
 protected:
  void record() const {
    PlacementRecorder recorder(file, plans, here, 0);
    recorder.step({1}, "aab");
    recorder.choices({{"gpu y", {{"matmul f32", "1 2 3"}}}});
    recorder.step({2}, "bbb");
    recorder.step({2, 0}, "ab");
    recorder.step({3}, "aaa");
  }
  std::string text() const { return read_file(file); }
  Replay checked(const WorkerKinds& kinds, int64_t next = 1) const {
    Replay replay(file);
    replay.check(plans, kinds, next);
    return replay;
  }

  test::ScratchFolder folder;
  std::filesystem::path file = folder / "placement.jsonl";
};

TEST_F(PlacementTest, ComesBackInTheLettersOfTheKindsHere) {
  record();
  const WorkerKinds other{{"gpu z", "gpu y", "cpu x"}, {0, 1, 2}};
  const Replay replay = checked(other);
  EXPECT_EQ(replay.tasks({1}), "ccb");
  EXPECT_EQ(replay.tasks({2}), "bbb");
  EXPECT_EQ(replay.tasks({2, 0}), "cb");
  EXPECT_EQ(replay.tasks({4}), "");
  EXPECT_EQ(replay.run().last_step(), 3);
  EXPECT_EQ(replay.run().choices, (ChoicesByKind{{"gpu y", {{"matmul f32", "1 2 3"}}}}));
}

TEST_F(PlacementTest, OnlyKindsThatRanSomethingMustBeHere) {
  record();
  EXPECT_THAT(error_of([&] { checked({{"cpu x"}, {0}}); }), HasSubstr("tasks ran on 'gpu y', and no worker"));
  PlacementRecorder(file, plans, here, 0).step({1}, "aaa");
  EXPECT_EQ(checked({{"cpu x"}, {0}}).tasks({1}), "aaa");
}

TEST_F(PlacementTest, OfAnotherPlanOrOtherStepsIsRefused) {
  record();
  Replay replay(file);
  EXPECT_THAT(error_of([&] { replay.check({"rows=8", "33cc", "22bb"}, here, 1); }),
              testing::AllOf(HasSubstr("another plan"), HasSubstr("rows=4|4")));
  RunPlans longer = plans;
  ++longer.validation_tasks;
  EXPECT_THAT(error_of([&] { replay.check(longer, here, 1); }), HasSubstr("step 2: lists 2 of 3 tasks"));
  EXPECT_THAT(error_of([&] { checked(here, 4); }), HasSubstr("no step 4; it was recorded from step 1 to 3"));
}

TEST_F(PlacementTest, WhatAKilledRunLeftEndsWithItsLastWholeLine) {
  record();
  const std::string whole = text();
  const std::map<StepKey, std::string> all = RunPlacement::read(file).tasks;
  for (size_t size = whole.find('\n') + 1; size < whole.size(); ++size) {
    folder.write("placement.jsonl", whole.substr(0, size));
    const std::map<StepKey, std::string> left = RunPlacement::read(file).tasks;
    const std::string_view kept = std::string_view(whole).substr(0, size);
    size_t lines = 0;
    for (size_t at = kept.find("\"tasks\""); at != kept.npos; at = kept.find("\"tasks\"", at + 1))
      lines += kept.find('\n', at) != kept.npos;
    EXPECT_EQ(left.size(), lines) << size;
    for (const auto& [key, tasks] : left) EXPECT_EQ(tasks, all.at(key));
  }
}

TEST_F(PlacementTest, OtherFilesAreRefusedInOneLine) {
  const std::string first = R"({"tessera_placement":1,"tiling":"","plans":{"train":"1"},"kinds":["cpu x"]})";
  const std::pair<std::string, std::string> cases[] = {
      {"", "is no recorded placement"},
      {"half", "is no recorded placement"},
      {"some text\n", "line 1: not valid JSON"},
      {"{}\n", "line 1 is no line of"},
      {"[]\n", "line 1 is no line of"},
      {R"({"tessera_placement":2})"
       "\n",
       "is of version '2', not 1"},
      {first + "\n{}\n", "line 2 is no line of"},
      {first + "\n{\"step\":\"one\",\"tasks\":\"a\"}\n", "line 2 is no line of"},
      {first + "\n{\"choices\":{\"cpu x\":3}}\n", "line 2 is no line of"},
      {first + "\n{\"step\":1,\"tasks\":\"a\"}\n{\"step\":1,\"tasks\":\"a\"}\n", "line 3: what it says"}};
  for (const auto& [bad, told] : cases) {
    folder.write("placement.jsonl", bad);
    EXPECT_THAT(error_of([&] { RunPlacement::read(file); }),
                testing::AllOf(HasSubstr(file.string()), HasSubstr(told)))
        << bad;
  }
  folder.write("placement.jsonl", first + "\n{\"step\":1,\"tasks\":\"2b\"}\n");
  Replay replay(file);
  EXPECT_THAT(error_of([&] { replay.check({"", "1", "", 2, 0}, here, 1); }),
              HasSubstr("a kind 'b', which it does not"));
  EXPECT_THAT(error_of([&] { RunPlacement::read(folder / "missing"); }), HasSubstr("no such file"));
}

TEST_F(PlacementTest, GoesOnFromACheckpoint) {
  record();
  {
    PlacementRecorder recorder(file, plans, {{"gpu z", "cpu x"}, {0, 1}}, 2);
    recorder.step({3}, "bab");
  }
  const RunPlacement run = RunPlacement::read(file);
  EXPECT_EQ(run.kinds, (std::vector<std::string>{"cpu x", "gpu y", "gpu z"}));
  EXPECT_EQ(run.tasks.at({1}), "2ab");
  EXPECT_EQ(run.tasks.at({2, 0}), "ab");
  EXPECT_EQ(run.tasks.at({3}), "aca");
  EXPECT_EQ(run.choices.size(), 1U);
  const std::string before = text();
  EXPECT_THAT(error_of([&] { PlacementRecorder(file, {"", "1", ""}, here, 2); }), HasSubstr("another plan"));
  EXPECT_EQ(text(), before);
}

}  // namespace
}  // namespace tessera
