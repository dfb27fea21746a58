// Policies of one's own on the command line: named, loaded, explained, and told about in one line.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/paths.hpp"
#include "tests/tools/train_process.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

const std::string misbehaving = test::built_path(TESSERA_MISBEHAVING, "tests/libmisbehaving.so");

class SchedulersTest : public testing::Test {
 protected:
  struct Ended {
    int code;
    std::string complaint;
  };
  Ended train(const std::string& scheduler, std::vector<std::string> options = {}) const {
    fs::remove_all(setup.out("model"));
    options.insert(options.end(), {"--scheduler", scheduler});
    test::TrainProcess process(setup, setup.out("model"), options);
    const int code = process.code();
    return {code, code == 0 ? "" : process.complaint()};
  }

  const test::TrainingSetup setup{"kind = \"gpt2\"", "steps = 2\nbatch = 4", "scheduler = \"lws\""};
};

TEST_F(SchedulersTest, OursAndThoseOfALibraryTrain) {
  EXPECT_EQ(train("affinity").code, 0);
  EXPECT_EQ(train("round_robin").code, 0);
  EXPECT_EQ(train("prio").code, 0);
  EXPECT_EQ(train(misbehaving + ":fifo").code, 0);
}

TEST_F(SchedulersTest, MistakesAreOneLineAndExitCode2) {
  const std::pair<std::string, std::string> cases[] = {
      {"affinty", "is 'affinity' meant?"},
      {"./missing.so:mine", "there is no file './missing.so'"},
      {test::built_path(TESSERA_LIBRARY, "lib/libtessera.so") + ":mine",
       "has no function tessera_scheduler_v1"},
      {misbehaving + ":nobody", "knows no policy 'nobody'"},
      {misbehaving, "which one of it?"}};
  for (const auto& [name, told] : cases) {
    const Ended ended = train(name);
    EXPECT_EQ(ended.code, 2) << name;
    EXPECT_THAT(ended.complaint, AllOf(HasSubstr(name.substr(0, 12)), HasSubstr(told)));
    EXPECT_FALSE(fs::exists(setup.out("model"))) << name;
  }
}

TEST_F(SchedulersTest, APolicyThatThrowsIsAFailureThatNamesIt) {
  const Ended ended = train(misbehaving + ":throws_when_ready");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.complaint, AllOf(HasSubstr("scheduler '"), HasSubstr("twenty is too many")));
}

TEST_F(SchedulersTest, PlacementsAreExplained) {
  const fs::path why = setup.out("why.jsonl");
  ASSERT_EQ(train("affinity", {"--explain-placement", why.string()}).code, 0);
  std::istringstream text(read_file(why));
  int lines = 0;
  for (std::string line; std::getline(text, line); ++lines) {
    const nlohmann::json said = nlohmann::json::parse(line);
    for (const char* key : {"task", "kernel", "worker", "reason", "finish"}) EXPECT_TRUE(said.contains(key));
  }
  EXPECT_GT(lines, 100);
  const Ended starpus = train("lws", {"--explain-placement", why.string()});
  EXPECT_EQ(starpus.code, 2);
  EXPECT_THAT(starpus.complaint, AllOf(HasSubstr("'lws' is StarPU's"), HasSubstr("affinity")));
  const Ended nowhere = train("affinity", {"--explain-placement", "/nowhere/why"});
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_THAT(nowhere.complaint, HasSubstr("/nowhere/why"));
}

}  // namespace
}  // namespace tessera
