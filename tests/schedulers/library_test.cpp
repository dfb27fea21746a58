// Finding policies by name, and what is wrong with a library that does not give one.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/file.hpp"
#include "runtime/sched/policies.hpp"
#include "tests/models/scratch.hpp"
#include "tests/paths.hpp"
#include "tests/schedulers/library_cases.hpp"

namespace tessera::testing_schedulers {
namespace {

INSTANTIATE_TEST_SUITE_P(Schedulers, LibraryTest, testing::Values("threads"),
                         [](const auto& engine) { return engine.param; });

TEST(MakeScheduler, KnowsOursAndLeavesTheOthers) {
  EXPECT_NE(make_scheduler("affinity"), nullptr);
  EXPECT_NE(make_scheduler("round_robin"), nullptr);
  EXPECT_EQ(make_scheduler("lws"), nullptr);
  EXPECT_EQ(make_scheduler(""), nullptr);
  EXPECT_NE(make_scheduler(misbehaving("fifo")), nullptr);
  const std::vector<std::string> names = scheduler_names();
  EXPECT_THAT(names, testing::IsSupersetOf({"affinity", "round_robin", "lws", "dmdas"}));
}

TEST(MakeScheduler, SaysWhatIsWrongWithALibrary) {
  const test::ScratchFolder folder;
  const std::string text = folder.write("text.so", "no library").string();
  const std::string library = test::built_path(TESSERA_MISBEHAVING, "tests/libmisbehaving.so");
  EXPECT_THAT([] { make_scheduler("./missing.so:mine"); },
              ThrowsMessage<Error>(HasSubstr("there is no file './missing.so'")));
  EXPECT_THAT([&] { make_scheduler(folder.path.string() + ":mine"); },
              ThrowsMessage<Error>(HasSubstr("there is no file")));
  EXPECT_THAT([&] { make_scheduler(text + ":mine"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("cannot load it"), HasSubstr("text.so"))));
  EXPECT_THAT([] { make_scheduler(test::built_path(TESSERA_LIBRARY, "lib/libtessera.so") + ":mine"); },
              ThrowsMessage<Error>(HasSubstr("has no function tessera_scheduler_v1")));
  EXPECT_THAT([&] { make_scheduler(library + ":nobody"); },
              ThrowsMessage<Error>(HasSubstr("knows no policy 'nobody'")));
  EXPECT_THAT([&] { make_scheduler(library); }, ThrowsMessage<Error>(HasSubstr("which one of it?")));
  EXPECT_THAT([&] { make_scheduler(library + ":"); }, ThrowsMessage<Error>(HasSubstr("which one of it?")));
}

TEST(MakeScheduler, ExplanationsNeedAPolicyOfOurs) {
  EXPECT_THAT([] { Session({.engine = "threads", .workers = 1, .explain = "why.jsonl"}); },
              ThrowsMessage<Error>(AllOf(HasSubstr("'lws' is StarPU's"), HasSubstr("affinity"))));
  EXPECT_THAT(
      [] {
        Session(
            {.engine = "threads", .workers = 1, .scheduler = "affinity", .explain = "/nowhere/why.jsonl"});
      },
      ThrowsMessage<Error>(AllOf(HasSubstr("/nowhere/why.jsonl"), HasSubstr("No such file"))));
}

}  // namespace
}  // namespace tessera::testing_schedulers
