// Sessions own variables: how they start, host access, and plans that disagree about cuts.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/session.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"
#include "tests/runtime/call_op.hpp"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using testing_ops::call;
using testing_ops::call_many;

const EngineOptions threads{.engine = "threads", .workers = 1};

// Nothing but variables, each touched by one op.
struct Declared {
  Graph graph;

  Tensor declare(const std::string& name, const Shape& shape, DType dtype = DType::f32, Init init = {}) {
    Tensor v = graph.variable(name, shape, dtype, init);
    call("touch", {v}, [](const TileArgs&) {}, {.in_place = 0});
    return v;
  }
  Plan plan(const std::string& tiling = "") const {
    return make_plan(graph, {.tiling = Tiling::parse(tiling)});
  }
};

TEST(Memory, IsZeroAndAlignedAndItsOwn) {
  std::vector<Memory> pieces;
  for (const size_t bytes : {size_t{1}, size_t{5000}, size_t{3} << 20, size_t{80} << 20, size_t{4096}}) {
    Memory& piece = pieces.emplace_back(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece.data()) % 4096, 0u);
    EXPECT_EQ(std::count(piece.data(), piece.data() + bytes, std::byte{0}), static_cast<ptrdiff_t>(bytes));
    std::fill_n(piece.data(), bytes, std::byte{static_cast<unsigned char>(pieces.size())});
  }
  pieces.erase(pieces.begin() + 1);
  pieces.emplace_back(5000);
  EXPECT_EQ(pieces.back().data()[4999], std::byte{0});
  for (const unsigned char k : {0, 1, 2, 3}) {
    const Memory& piece = pieces[k];
    const std::byte value{static_cast<unsigned char>(k == 0 ? 1 : k + 2)};
    EXPECT_EQ(std::count(piece.data(), piece.data() + piece.size(), value),
              static_cast<ptrdiff_t>(piece.size()));
  }
  EXPECT_EQ(Memory(0).data(), nullptr);
}

// With one worker tasks are in the order of the plan; a task here reads a tile of a and then one of b.
TEST(Session, TilesLieInTheOrderOfTheirUse) {
  Graph graph;
  const Shape shape{{"rows", 2048}};  // in tiles of a page
  const Tensor a = graph.variable("a", shape, DType::f32), b = graph.variable("b", shape, DType::f32);
  std::vector<const std::byte*> used;
  graph.fetch(call("look", {a, b}, [&](const TileArgs& args) {
    for (size_t k : {0u, 1u}) used.push_back(args[k].as<const std::byte>());
  }));
  Session session(threads);
  Executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=1024x2")})).run().wait();
  ASSERT_EQ(used.size(), 4u);
  for (size_t k = 1; k < used.size(); ++k) EXPECT_EQ(used[k] - used[k - 1], 4096) << k;
}

TEST(Session, VariablesExistFromTheFirstPlanOn) {
  Declared declared;
  declared.declare("w", {{"rows", 3}, 2}, DType::f32, {.mean = 1.5});
  declared.declare("count", {2}, DType::i32);
  Session session(threads);
  EXPECT_FALSE(session.has("w"));
  {
    Executor executor(session, declared.plan());
    EXPECT_TRUE(session.has("w"));
  }
  EXPECT_EQ(session.get("w"), std::vector<float>(6, 1.5f));  // and outlive it
  EXPECT_EQ(session.type("w"), (TensorType{{{"rows", 3}, 2}, DType::f32}));
  EXPECT_THAT(session.names(), ElementsAre("count", "w"));
  std::vector<int32_t> count(2, -1);
  session.read("count", count.data());
  EXPECT_THAT(count, ElementsAre(0, 0));
}

TEST(Session, SecondPlansFindWhatTheFirstLeft) {
  Declared first, second;
  first.declare("w", {4}, DType::f32, {.mean = 1});
  second.declare("w", {4}, DType::f32, {.mean = 2});
  Session session(threads);
  Executor a(session, first.plan());
  session.set("w", std::vector<float>{1, 2, 3, 4});
  Executor b(session, second.plan());
  EXPECT_THAT(session.get("w"), ElementsAre(1, 2, 3, 4));
}

std::vector<float> initial(const std::string& tiling, uint64_t seed, const std::string& name = "w",
                           Init init = {.mean = 0.5f, .std = 2}) {
  Declared declared;
  declared.declare(name, {{"rows", 101}, {"cols", 33}}, DType::f32, init);
  Session session(threads, seed);
  const Executor executor(session, declared.plan(tiling));
  return session.get(name);
}

TEST(Session, InitialValuesDoNotDependOnTheTiling) {
  const std::vector<float> whole = initial("", 7);
  EXPECT_EQ(initial("rows=20x5,1 cols=16|17", 7), whole);
  EXPECT_EQ(initial("rows=1x101", 7), whole);
  EXPECT_NE(initial("", 8), whole);
  EXPECT_NE(initial("", 7, "v"), whole);
}

TEST(Session, InitialValuesAreNormal) {
  const std::vector<float> values = initial("", 3);
  const auto n = static_cast<double>(values.size());
  double mean = 0, square = 0, cube = 0, far = 0;
  for (float value : values) {
    const double z = (value - 0.5) / 2;
    mean += z / n, square += z * z / n, cube += z * z * z / n, far += (std::abs(z) > 2) / n;
  }
  EXPECT_NEAR(mean, 0, 4 / std::sqrt(n));
  EXPECT_NEAR(square, 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(cube, 0, 4 * std::sqrt(15 / n));
  EXPECT_NEAR(far, 0.0455, 4 * std::sqrt(0.0455 / n));
  const std::vector<float> doubled = initial("", 3, "w", {.mean = 0.5f, .std = 4});
  EXPECT_FLOAT_EQ(doubled[11] - 0.5f, 2 * (values[11] - 0.5f));
}

TEST(Session, WholeVariablesGoInAndOut) {
  Declared declared;
  declared.declare("w", {{"rows", 7}, {"cols", 5}});
  declared.declare("narrow", {{"rows", 7}, 3}, DType::bf16);
  declared.declare("ids", {{"rows", 7}}, DType::i32);
  Session session(threads);
  const Executor executor(session, declared.plan("rows=3|2,2 cols=4,1"));
  std::vector<float> values(35);
  std::iota(values.begin(), values.end(), -7.f);
  session.set("w", values);
  EXPECT_EQ(session.get("w"), values);
  session.set("narrow", std::vector<float>(21, 1.01f));
  EXPECT_EQ(session.get("narrow"), std::vector<float>(21, static_cast<float>(bf16(1.01f))));
  std::vector<int32_t> ids(7), read(7);
  std::iota(ids.begin(), ids.end(), 100);
  session.write("ids", ids.data());
  session.read("ids", read.data());
  EXPECT_EQ(read, ids);
}

TEST(Session, MistakesNameTheVariable) {
  Declared declared;
  declared.declare("w", {4, 2});
  declared.declare("ids", {4}, DType::i32);
  Session session(threads);
  const Executor executor(session, declared.plan());
  EXPECT_THAT([&] { session.get("v"); }, ThrowsMessage<Error>("the session has no variable 'v'"));
  EXPECT_THAT([&] { (void)session.type("v"); }, ThrowsMessage<Error>(HasSubstr("'v'")));
  EXPECT_THAT([&] { session.write("v", nullptr); }, ThrowsMessage<Error>(HasSubstr("'v'")));
  EXPECT_THAT([&] { session.set("w", std::vector<float>(7)); },
              ThrowsMessage<Error>("variable 'w' is [4, 2], 7 values do not fill it"));
  EXPECT_THAT([&] { session.get("ids"); }, ThrowsMessage<Error>(HasSubstr("variable 'ids' holds i32")));
  EXPECT_THAT([&] { session.set("ids", std::vector<float>(4)); },
              ThrowsMessage<Error>(HasSubstr("'ids' holds i32")));
}

TEST(Session, PlansMustAgreeAboutCuts) {
  Declared declared;
  declared.declare("w", {{"rows", 8}, {"cols", 6}});
  Session session(threads);
  const Executor executor(session, declared.plan("rows=4|4 cols=3,3"));
  auto told = [&](const std::string& tiling, const char* message) {
    EXPECT_THAT([&] { Executor(session, declared.plan(tiling)); }, ThrowsMessage<Error>(message));
  };
  told("rows=4|4",
       "variable 'w' is cut 4|4 by 3x2 in this session, the plan cuts it 4|4 by 6; give both one tiling");
  told("rows=4,4 cols=3,3",  // the same tiles, but sums over them would differ
       "variable 'w' is cut 4|4 by 3x2 in this session, the plan cuts it 4x2 by 3x2; give both one tiling");
  told("rows=2,6 cols=3,3",
       "variable 'w' is cut 4|4 by 3x2 in this session, the plan cuts it 2,6 by 3x2; give both one tiling");
  const Executor same(session, declared.plan("cols=3x2 rows=4|4"));
}

TEST(Session, PlansMustAgreeAboutTypes) {
  Session session(threads);
  Declared declared, wider, narrower;
  declared.declare("w", {4});
  wider.declare("before", {2});
  wider.declare("w", {5});
  narrower.declare("w", {4}, DType::bf16);
  const Executor executor(session, declared.plan());
  EXPECT_THAT([&] { Executor(session, wider.plan()); },
              ThrowsMessage<Error>("variable 'w' is [4] of f32 in this session, the plan wants [5] of f32"));
  EXPECT_FALSE(session.has("before"));  // a plan that does not fit leaves nothing behind
  EXPECT_THAT([&] { Executor(session, narrower.plan()); },
              ThrowsMessage<Error>("variable 'w' is [4] of f32 in this session, the plan wants [4] of bf16"));
}

TEST(Session, ShadowsBringTheirVariable) {
  Graph graph;
  Tensor w = graph.variable("w", {{"rows", 4}}, DType::f32, {.std = 1});
  Tensor y = call_many(
      "read", {graph.shadow(w, DType::bf16)}, {{w.shape(), DType::bf16}},
      [](const TileArgs& args) { std::copy_n(args[0].as<bf16>(), args[0].size(), args[1].as<bf16>()); })[0];
  graph.fetch(y);
  Session session(threads);
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=1,3")}));
  EXPECT_THAT(session.names(), ElementsAre("w"));  // its shadow is no variable of its own
  const std::vector<float> values = session.get("w");
  EXPECT_NE(values[0], 0);
  std::vector<float> expected;
  for (float value : values) expected.push_back(static_cast<float>(bf16(value)));
  EXPECT_EQ(executor.run().get(y), expected);
}

}  // namespace
}  // namespace tessera
