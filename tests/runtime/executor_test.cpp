// The executor on in-process threads.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/passes.hpp"
#include "tests/runtime/failure_cases.hpp"
#include "tests/runtime/live_plans_cases.hpp"
#include "tests/runtime/steps_cases.hpp"

namespace tessera::testing_ops {
namespace {

const EngineOptions one_thread{.engine = "threads", .workers = 1},
    two_threads{.engine = "threads", .workers = 2};

INSTANTIATE_TEST_SUITE_P(Executor, StepsTest, testing::Values(one_thread, two_threads), engine_name);
INSTANTIATE_TEST_SUITE_P(Executor, OverlapTest, testing::Values(two_threads), engine_name);
INSTANTIATE_TEST_SUITE_P(Executor, FailuresTest, testing::Values(one_thread, two_threads), engine_name);
INSTANTIATE_TEST_SUITE_P(Executor, LivePlansTest, testing::Values(one_thread, two_threads), engine_name);

TEST(Engines, UnknownOnesAreNamed) {
  EXPECT_THAT([] { Session({.engine = "slurm"}); },
              ThrowsMessage<Error>("engine 'slurm' is not known; use starpu, threads or device"));
  for (const char* engine : {"threads", "starpu"}) {
    EXPECT_THAT([&] { Session({.engine = engine, .scheduler = "lsw"}); },
                ThrowsMessage<Error>(HasSubstr("scheduler 'lsw' is not known")));
    EXPECT_THAT([&] { Session({.engine = engine, .scheduler = ""}); },
                ThrowsMessage<Error>(HasSubstr("scheduler")));
    EXPECT_THAT([&] { Session({.engine = engine, .workers = 100'000}); },
                ThrowsMessage<Error>(HasSubstr("workers = 100000: this machine has")));
    EXPECT_THAT([&] { Session({.engine = engine, .workers = -1}); },
                ThrowsMessage<Error>(HasSubstr("workers = -1")));
  }
}

TEST(Engines, TakeAllCoresUnlessTold) {
  EXPECT_EQ(Session({.engine = "threads"}).engine().workers(), usable_cores());
}

}  // namespace
}  // namespace tessera::testing_ops
