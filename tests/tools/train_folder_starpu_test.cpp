// The folder that `tessera train` writes: never two runs in one, never half of one, and a clear line instead.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <thread>

#include "tests/paths.hpp"
#include "tests/tools/train_process.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class TrainFolderTest : public testing::Test {
 protected:
  struct Ended {
    int code;
    std::string complaint;
  };
  Ended train(const fs::path& out, const std::vector<std::string>& options = {}) const {
    test::TrainProcess process(setup, out, options);
    const int code = process.code();
    return {code, code == 0 ? "" : process.complaint()};
  }

  const test::TrainingSetup setup{"kind = \"gpt2\"", "steps = 3\nbatch = 4\ncheckpoint_every = 1"};
};

// Every file below with its size and time.
std::map<std::string, std::pair<uintmax_t, fs::file_time_type>> listing(const fs::path& folder) {
  std::map<std::string, std::pair<uintmax_t, fs::file_time_type>> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    files[entry.path().string()] = {entry.is_regular_file() ? entry.file_size() : 0, entry.last_write_time()};
  return files;
}

TEST_F(TrainFolderTest, HoldsOneRun) {
  const fs::path out = setup.out("model");
  ASSERT_EQ(train(out, {"--resume"}).code, 0) << "there is nothing to resume yet, so it begins";
  const auto before = listing(out);
  const Ended again = train(out);
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.complaint, AllOf(HasSubstr(out.string()), HasSubstr("--resume"), HasSubstr("3 steps")));
  EXPECT_EQ(listing(out), before);
  EXPECT_EQ(train(out, {"--resume", "--set", "train.steps=5"}).code, 0);
  EXPECT_THAT(test::names_in(out / "checkpoints"), testing::Contains("step-000005"));

  fs::remove_all(out / "checkpoints");
  const Ended anew = train(out), resumed = train(out, {"--resume"});
  EXPECT_EQ(anew.code, 2);
  EXPECT_THAT(anew.complaint, AllOf(HasSubstr(out.string()), HasSubstr("already holds a model")));
  EXPECT_EQ(resumed.code, 2);
  EXPECT_THAT(resumed.complaint, HasSubstr("no checkpoint"));
  EXPECT_FALSE(fs::exists(out / "checkpoints"));
}

TEST_F(TrainFolderTest, IsResumedWithItsOwnModel) {
  const fs::path out = setup.out("model");
  ASSERT_EQ(train(out).code, 0);
  const auto before = listing(out);
  const Ended model = train(out, {"--resume", "--set", "model.heads=2", "--set", "model.kv_heads=2"});
  EXPECT_EQ(model.code, 2);
  EXPECT_THAT(model.complaint,
              AllOf(HasSubstr("step-000003"), HasSubstr("heads = 4"), HasSubstr("heads = 2")));
  const Ended optimizer = train(out, {"--resume", "--set", "train.optimizer=\"sgd\""});
  EXPECT_EQ(optimizer.code, 2);
  EXPECT_THAT(optimizer.complaint, HasSubstr("train.optimizer"));
  EXPECT_EQ(listing(out), before);
  EXPECT_EQ(train(out, {"--resume", "--set", "train.batch=8", "--set", "train.steps=4"}).code, 0)
      << "another batch is tiled anew";

  fs::remove(out / "checkpoints/step-000004/optimizer.safetensors");
  EXPECT_THAT(train(out, {"--resume"}).complaint, HasSubstr("step-000004/optimizer.safetensors"));
  std::ofstream(out / "checkpoints/step-000004/trainer.json") << "{}";
  EXPECT_THAT(train(out, {"--resume"}).complaint, HasSubstr("step-000004/trainer.json"));
}

TEST_F(TrainFolderTest, TakesOneProcessAtATime) {
  const fs::path out = setup.out("model");
  test::TrainProcess first(setup, out, {"--set", "train.steps=1000000", "--set", "train.checkpoint_every=0"});
  const auto has_begun = [&] {
    return fs::exists(out / "metrics.jsonl") && fs::file_size(out / "metrics.jsonl") > 0;
  };
  while (!has_begun() && !first.over()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  for (const char* option : {"--resume", "--json"}) {
    const Ended second = train(out, {option});
    EXPECT_EQ(second.code, 2);
    EXPECT_THAT(second.complaint, AllOf(HasSubstr(out.string()), HasSubstr("another process")));
  }
  EXPECT_FALSE(first.over()) << first.errors();
  first.kill();
  EXPECT_EQ(train(out).code, 0) << "a killed process holds nothing";
}

TEST_F(TrainFolderTest, MustBeWritable) {
  const fs::path file = setup.folder.write("file", "kept");
  for (const fs::path& out : {file, file / "below", fs::path("/proc/model")}) {
    const Ended ended = train(out);
    EXPECT_EQ(ended.code, 2) << out;
    EXPECT_THAT(ended.complaint, AllOf(HasSubstr(out.string()), HasSubstr("--out")));
  }
  EXPECT_EQ(read_file(file), "kept");
}

TEST_F(TrainFolderTest, IsNotThereAfterAMistake) {
  const fs::path out = setup.out("model");
  EXPECT_EQ(train(out, {"--set", "run.tiling=\"rows=7\""}).code, 2);
  EXPECT_EQ(train(out, {"--set", "data.path=\"nowhere.txt\""}).code, 2);
  EXPECT_FALSE(fs::exists(out));
}

// Commands of a shell in a name space of its own, in which $D is a small disk.
int on_small_disk(const test::TrainingSetup& setup, const std::string& options, const std::string& commands) {
  const fs::path disk = setup.out("disk");
  fs::create_directories(disk);
  const fs::path script = setup.folder.write(
      "script.sh", fmt::format("D='{}'; S='{}'; export XDG_CACHE_HOME=\"$S\"\n"
                               "mount -t tmpfs -o size=1m,{} tmpfs \"$D\" || exit 99\n"
                               "train() {{ '{}' train \"$S/config.toml\" \"$@\" >\"$S/said\" 2>&1; }}\n{}",
                               disk.string(), setup.folder.path.string(), options,
                               test::built_path(TESSERA_PROGRAM, "bin/tessera"), commands));
  const int status = std::system(
      fmt::format("unshare --mount sh '{}' 2>'{}'", script.string(), setup.out("shell").string()).c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr const char* no_mount = "a small disk needs the right to mount one (root): not tried";

TEST_F(TrainFolderTest, OnAFullDiskKeepsWhatWasWhole) {
  if (on_small_disk(setup, "rw", "true") != 0) GTEST_SKIP() << no_mount;
  // Checkpoints of a quarter of the disk; the second command frees some of it.
  const int code = on_small_disk(setup, "rw", R"(
train --out "$D/model" --set train.steps=20 --set train.keep=20; echo $? >"$S/code"; mv "$S/said" "$S/full"
ls -A "$D/model" "$D/model/checkpoints" >"$S/left"; cp "$D/model/metrics.jsonl" "$S"
for c in "$D"/model/checkpoints/step-*; do ls "$c" | wc -l; done | sort -u >"$S/files"
rm -r "$D/model/checkpoints/step-000001"
train --out "$D/model" --resume --set train.steps=5 --set train.keep=1)");
  EXPECT_EQ(code, 0) << read_file(setup.out("said"));
  EXPECT_EQ(read_file(setup.out("code")), "1\n");
  const std::string said = read_file(setup.out("full"));
  EXPECT_THAT(said.substr(said.rfind("tessera: ")), HasSubstr("No space left on device"));
  const std::string left = read_file(setup.out("left"));
  EXPECT_THAT(left, AllOf(HasSubstr("step-000002"), Not(HasSubstr("step-000020")), Not(HasSubstr(".step"))));
  EXPECT_THAT(left, AllOf(Not(HasSubstr(".tmp")), Not(HasSubstr("model.safetensors"))));
  EXPECT_EQ(read_file(setup.out("files")).size(), 2U) << "checkpoints have as many files, each of them";
  EXPECT_TRUE(read_file(setup.out("metrics.jsonl")).ends_with("}\n"));
}

TEST_F(TrainFolderTest, OnAReadOnlyDiskIsRefused) {
  if (on_small_disk(setup, "rw", "true") != 0) GTEST_SKIP() << no_mount;
  EXPECT_EQ(on_small_disk(setup, "ro", "train --out \"$D\""), 2);
  EXPECT_THAT(read_file(setup.out("said")), AllOf(HasSubstr("Read-only"), HasSubstr("--out")));
}

}  // namespace
}  // namespace tessera
