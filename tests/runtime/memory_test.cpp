// Plans that do not fit in memory are refused with the numbers, before anything is taken.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/memory.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "codelets/matmul/matmul.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& problem) {
    return problem.what();
  }
  return "(accepted)";
}

TEST(Memory, IsRefusedWithTheNumbers) {
  const MemoryNeed need{.variables = int64_t{3} << 30, .intermediate = int64_t{1} << 30};
  EXPECT_NO_THROW(check_memory(need, int64_t{4} << 30));
  EXPECT_THAT(refusal([&] { check_memory(need, int64_t{2} << 30); }),
              AllOf(HasSubstr("needs 4 GiB"), HasSubstr("3 GiB for variables"),
                    HasSubstr("1 GiB for intermediate"), HasSubstr("2 GiB are available")));
}

TEST(Memory, BeyondAllCountsIsStillTooMuch) {
  Graph graph;
  for (int k = 0; k < 1 << 14; ++k)  // of 2^50 bytes each
    graph.fetch(graph.variable(fmt::format("w{}", k), {int64_t{1} << 24, int64_t{1} << 24}, DType::f32));
  const MemoryNeed need = memory_need(make_plan(graph, {}));
  EXPECT_GT(need.variables, int64_t{1} << 58);
  EXPECT_GT(need.transfers, need.variables);
  EXPECT_GT(need.total(), need.transfers);
}

// A square of n x n floats.
Plan square(int64_t n, const std::string& name) {
  Graph graph;
  const Tensor w = graph.variable(name, {n, n}, DType::f32);
  graph.fetch(matmul(graph.input("x", {1, n}, DType::f32), w));
  return make_plan(graph, {});
}

int64_t side_of(int64_t bytes) { return static_cast<int64_t>(std::sqrt(static_cast<double>(bytes) / 4)); }

TEST(Memory, OfASessionIsSharedByItsPlans) {
  Session session({.engine = "threads", .workers = 1});
  const int64_t available = available_memory_bytes(), large = side_of(available / 4 * 3);
  EXPECT_THAT(refusal([&] { Executor(session, square(2 * large, "huge")); }), HasSubstr("the plan needs"));
  EXPECT_FALSE(session.has("huge")) << "nothing is made by a refused plan";
  // Variables are zero and untouched here, so that nothing is really taken.
  const Executor first(session, square(large, "a"));
  EXPECT_THAT(refusal([&] { Executor(session, square(large, "b")); }), HasSubstr("for variables"));
  EXPECT_NO_THROW(Executor(session, square(large, "a"))) << "the variable is there already";
}

TEST(Memory, OfIntermediatesIsGivenBack) {
  Session session({.engine = "threads", .workers = 1});
  const int64_t rows = available_memory_bytes() / 3 * 2 / step_sets / 8;  // of x and the result
  Graph graph;
  graph.fetch(matmul(graph.input("x", {rows, 1}, DType::f32), graph.variable("w", {1, 1}, DType::f32)));
  for (int i = 0; i < 3; ++i) EXPECT_NO_THROW(Executor(session, make_plan(graph, {})));
}

}  // namespace
}  // namespace tessera
