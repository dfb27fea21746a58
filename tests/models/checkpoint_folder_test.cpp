// Checkpoint folders: whole or not there, through exceptions, full disks and kills; the last few kept.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <chrono>
#include <set>
#include <thread>

#include "models/checkpoint/folder.hpp"
#include "runtime/core/file.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::ScratchFolder;
using testing::ElementsAre;
using testing::HasSubstr;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

// A checkpoint of two files, one in a folder of its own, that both say `text`.
auto saying(const std::string& text) {
  return [text](const fs::path& folder) {
    fs::create_directory(folder / "state");
    write_file(folder / "weights", text);
    write_file(folder / "state" / "step", text);
  };
}
std::string said_by(const fs::path& checkpoint) {
  std::string weights = read_file(checkpoint / "weights");
  return weights == read_file(checkpoint / "state" / "step") ? weights : "(torn)";
}

TEST(CheckpointFolder, KeepsTheLastFew) {
  ScratchFolder out;
  fs::path folder = out / "checkpoints";
  EXPECT_EQ(latest_complete(folder), std::nullopt);
  remove_leftovers(folder);
  for (int64_t step : {5, 10, 999999, 1000000})
    write_checkpoint(folder, step, 3, saying(std::to_string(step)));
  EXPECT_THAT(names_in(folder), ElementsAre("step-000010", "step-1000000", "step-999999"));
  auto last = latest_complete(folder);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->step, 1000000);
  EXPECT_EQ(said_by(last->folder), "1000000");
  // Only what lies before the step is pruned: the step just written always stays.
  EXPECT_EQ(write_checkpoint(folder, 20, 1, saying("20")).folder, folder / "step-000020");
  EXPECT_THAT(names_in(folder), ElementsAre("step-000020", "step-1000000", "step-999999"));
}

TEST(CheckpointFolder, ReplacesACheckpointOfTheSameStep) {
  ScratchFolder out;
  write_checkpoint(out.path, 7, 2, saying("old"));
  write_checkpoint(out.path, 7, 2, saying("new"));
  EXPECT_THAT(names_in(out.path), ElementsAre("step-000007"));
  EXPECT_EQ(said_by(out / "step-000007"), "new");
}

TEST(CheckpointFolder, AWriterThatThrowsLeavesWhatWasThere) {
  ScratchFolder out;
  write_checkpoint(out.path, 1, 1, saying("one"));
  auto broken = [](const fs::path& folder) {
    saying("half")(folder);
    throw failure("the optimizer broke");
  };
  EXPECT_THAT(test::thrown<Failure>([&] { write_checkpoint(out.path, 1, 1, broken); }),
              HasSubstr("optimizer broke"));
  EXPECT_THAT(test::thrown<Failure>([&] { write_checkpoint(out.path, 2, 1, broken); }),
              HasSubstr("optimizer broke"));
  EXPECT_THAT(names_in(out.path), ElementsAre("step-000001"));
  EXPECT_EQ(said_by(out / "step-000001"), "one");
}

TEST(CheckpointFolder, ClearsAwayLeftoversAndNothingElse) {
  ScratchFolder out;
  write_checkpoint(out.path, 3, 5, saying("three"));
  for (const char* name : {".step-000004.tmp", ".step-000003.old", ".step-000001.gone", "step-4",
                           "step-000009x", ".other.tmp", "notes"})
    fs::create_directory(out / name);
  out.write("step-000008", "a file, no checkpoint");
  EXPECT_EQ(latest_complete(out.path)->step, 3);
  remove_leftovers(out.path);
  EXPECT_THAT(names_in(out.path),
              ElementsAre(".other.tmp", "notes", "step-000003", "step-000008", "step-000009x", "step-4"));
  fs::rename(out / "step-000003",
             out / ".step-000003.old");  // killed between the two renames of a replacement
  remove_leftovers(out.path);
  EXPECT_EQ(said_by(latest_complete(out.path)->folder), "three");
}

TEST(CheckpointFolder, RefusesAPlaceThatTakesNoFolder) {
  ScratchFolder out;
  out.write("file", "");
  EXPECT_THAT(error_of([&] { write_checkpoint(out / "file", 1, 1, saying("x")); }),
              HasSubstr("choose another output"));
  EXPECT_THAT(error_of([&] { write_checkpoint(out / "file/below", 1, 1, saying("x")); }),
              HasSubstr("choose another"));
  EXPECT_THAT(error_of([&] { latest_complete(out / "file"); }), HasSubstr("cannot be searched"));
  EXPECT_THAT(error_of([&] { write_checkpoint(out.path, -1, 1, saying("x")); }), HasSubstr("step -1"));
  EXPECT_THAT(error_of([&] { write_checkpoint(out.path, 1, 0, saying("x")); }), HasSubstr("keeping 0"));
}

TEST(CheckpointFolder, AFullDiskIsAFailureThatKeepsTheLastOne) {
  EXPECT_TRUE(test::on_a_small_disk(256 << 10, [](const ScratchFolder& out) {
    write_checkpoint(out.path, 1, 1, saying("one"));
    std::string message =
        test::thrown<Failure>([&] { write_checkpoint(out.path, 2, 1, saying(std::string(1 << 20, 'x'))); });
    return message.find("the disk is full") != message.npos &&
           names_in(out.path) == std::set<std::string>{"step-000001"} &&
           said_by(out / "step-000001") == "one";
  }));
}

// A child writes checkpoints as fast as it can, also the same step again, and is killed at some moment.
TEST(CheckpointFolder, AKillAtAnyMomentLeavesAWholeLatestOne) {
  ScratchFolder out;
  write_checkpoint(out.path, 0, 2, saying("0"));
  int64_t reached = 0;
  for (int round = 0; round < 25 || (reached == 0 && round < 200); ++round) {  // a busy machine gets longer
    pid_t child = ::fork();
    if (child == 0) {
      for (int64_t step = reached;; ++step) {
        write_checkpoint(out.path, step, 2, saying(std::to_string(step)));
        write_checkpoint(out.path, step, 2, saying(std::to_string(step)));
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(3000 + 1777 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    remove_leftovers(out.path);
    auto last = latest_complete(out.path);
    ASSERT_TRUE(last) << "round " << round;
    EXPECT_EQ(said_by(last->folder), std::to_string(last->step));
    EXPECT_GE(last->step, reached);
    EXPECT_LE(out.entries(), 3u);
    reached = last->step;
  }
  EXPECT_GT(reached, 0);
}

}  // namespace
}  // namespace tessera
