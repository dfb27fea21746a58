// Which buffer leaves main memory, and what a limit means for a plan before it runs.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/residency.hpp"

#include <gmock/gmock.h>

#include "codelets/matmul/matmul.hpp"
#include "runtime/core/error.hpp"
#include "runtime/exec/spill.hpp"

namespace tessera {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

// Three buffers of 10 bytes in a cycle of 10 tasks; a is used at 1 and 7, b at 3, c at 5.
struct Three {
  Cycle cycle{10};
  Residency books;
  Three() {
    for (int b = 0; b < 3; ++b) {
      books.add(b, 10);
      books.arrive(b);
    }
    books.expect(0, cycle, {1, true});
    books.expect(0, cycle, {7, false});
    books.expect(1, cycle, {3, false});
    books.expect(2, cycle, {5, false});
  }
};

TEST(Residency, GivesUpWhatIsUsedLast) {
  Three three;
  Residency& books = three.books;
  EXPECT_EQ(books.farthest(&three.cycle), 2);
  books.begin(0, three.cycle, Mode::write);
  EXPECT_EQ(books.farthest(&three.cycle), 0) << "its next use is at 7";
  books.begin(1, three.cycle, Mode::read);
  EXPECT_EQ(books.farthest(&three.cycle), 1) << "its next use is in the next round, at 13";
  books[1].pins = 1;
  EXPECT_EQ(books.farthest(&three.cycle), 0) << "who is pinned stays";
  books.leave(0);
  EXPECT_EQ(books.farthest(&three.cycle), 2);
  EXPECT_EQ(books.bytes_here(), 20);
}

TEST(Residency, WhatTheRunningPlanDoesNotUseGoesFirst) {
  Three three;
  const Cycle other{5};
  three.books.expect(2, other, {0, false});
  EXPECT_EQ(three.books.farthest(&other), 0);
  three.books.leave(0);
  three.books.leave(1);
  EXPECT_EQ(three.books.farthest(&other), 2);
  three.books.forget(three.cycle);
  EXPECT_EQ(three.books[2].uses.size(), 1u);
}

TEST(Residency, OnlyTemporariesAreLostBeforeTheyAreOverwritten) {
  Three three;
  EXPECT_FALSE(three.books.lost(0));
  three.books[0].temporary = true;
  EXPECT_TRUE(three.books.lost(0));
  three.books.begin(0, three.cycle, Mode::write);
  EXPECT_FALSE(three.books.lost(0)) << "read at 7";
  three.books.begin(0, three.cycle, Mode::read);
  EXPECT_TRUE(three.books.lost(0));
}

// y = x · w0 · w1 …: eight weights of 64 KiB, used one after the other.
Plan chain() {
  Graph graph;
  Tensor y = graph.input("x", {8, 128}, DType::f32);
  for (int k = 0; k < 8; ++k) y = matmul(y, graph.variable(fmt::format("w{}", k), {128, 128}, DType::f32));
  graph.fetch(y);
  return make_plan(graph, {});
}

TEST(Spill, IsNothingWhereAllFits) {
  const Spill spill = forecast_spill(chain(), {.bytes = 8 << 20, .swap = "folder"}, 1 << 20);
  EXPECT_EQ(spill.spilled, 0);
  EXPECT_EQ(spill.read + spill.written, 0);
  EXPECT_EQ(spill.held, spill.tiles);
}

TEST(Spill, ReadsWhatDoesNotFitAndWritesOnlyWhatChanged) {
  const Plan plan = chain();
  const int64_t weight = 128 * 128 * 4;
  const int64_t engine = memory_need(plan).engine, others = memory_need(plan).total() - engine - 8 * weight;
  const Spill spill = forecast_spill(plan, {.bytes = engine + others + 4 * weight, .swap = "folder"}, 0);
  EXPECT_GE(spill.read, 4 * weight);
  EXPECT_LE(spill.read, 6 * weight) << "a part stays";
  EXPECT_EQ(spill.written, 0) << "weights are only read";
  EXPECT_LE(spill.process + spill.held, engine + others + 4 * weight);
  EXPECT_EQ(spill.held + spill.spilled, spill.tiles);
}

TEST(Spill, ImpossibleLimitsAreRefusedWithTheNumbers) {
  const Plan plan = chain();
  const int64_t process = int64_t{10} << 20;
  EXPECT_THAT([&] { forecast_spill(plan, {.bytes = 5 << 20, .swap = "folder"}, process); },
              ThrowsMessage<Error>(AllOf(HasSubstr("run.host_memory = 5: the program alone takes 10"),
                                         HasSubstr("matmul"), HasSubstr("allow 11 or more"))));
  EXPECT_THAT([&] { check_host_limit(plan, {.bytes = process + (1 << 18), .swap = ""}, process, 1 << 20); },
              ThrowsMessage<Error>(AllOf(HasSubstr("run.swap"), HasSubstr("allow 11 or more"))));
}

}  // namespace
}  // namespace tessera
