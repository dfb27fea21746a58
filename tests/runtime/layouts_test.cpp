// Variables that lie as their readers want them: what the plan decides, and what the session makes of it.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"
#include "tests/runtime/call_op.hpp"

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using testing_ops::call;

// The elements of a tile from the last one to the first.
template <class T>
void reverse(int64_t count, const void* from, void* to) {
  const T* elements = static_cast<const T*>(from);
  std::reverse_copy(elements, elements + count, static_cast<T*>(to));
}
void turn_round(DType type, int64_t rows, int64_t cols, const void* from, void* to) {
  type == DType::f32 ? reverse<float>(rows * cols, from, to) : reverse<bf16>(rows * cols, from, to);
}
constexpr TileLayout reversed{"reversed", turn_round, turn_round};

void copy_kernel(const TileArgs& args) {
  std::memcpy(args[1].data, args[0].data, static_cast<size_t>(args[0].size()) * size_of(args[0].dtype));
}
const Kernel copy{.name = "copy", .cpu = copy_kernel};

// Copies tiles as they lie, and wants them reversed where they have so many rows.
struct Copy final : Op {
  int64_t rows;
  std::optional<Cuts> cuts;  // of its own

  explicit Copy(int64_t wanted, std::optional<Cuts> how = {}) : rows(wanted), cuts(std::move(how)) {}
  std::string_view name() const override { return "copy"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override { return {in[0]}; }
  void reference(HostIn, HostOut) const override {}
  const TileLayout* layout(int, std::span<const TensorType>, int64_t tile_rows, int64_t) const override {
    return tile_rows == rows ? &reversed : nullptr;
  }
  void lower(Lowering& to) const override {
    const TileGrid& out = to.out(0);
    const TileGrid in = cuts ? to.in(0, *cuts, out.cols) : to.in(0);
    for (int i = 0; i < out.rows.count(); ++i)
      to.task(copy, {read(in(cuts ? 0 : i)), write(out(i))}, {.index = {i, 0}});
  }
};

class Layouts : public testing::Test {
 protected:
  Tensor copied(Tensor of, int64_t rows = 2) { return graph.apply1(std::make_shared<Copy>(rows), {of}); }
  Plan plan(bool lay_out = true) const {
    return make_plan(graph, {.tiling = Tiling::parse("rows=2,2"), .lay_out = lay_out});
  }
  // What `fetched` is once w was set to 1, 2, …
  std::vector<float> run(Tensor fetched, bool lay_out = true) {
    graph.fetch(fetched);
    Session session({.engine = "threads", .workers = 1});
    Executor executor(session, plan(lay_out));
    std::vector<float> values(8);
    std::iota(values.begin(), values.end(), 1.f);
    session.set("w", values);
    EXPECT_EQ(session.get("w"), values);
    const std::vector<float> result = executor.run({}).get(fetched);
    EXPECT_EQ(session.get("w"), values);
    return result;
  }

  Graph graph;
  Tensor w = graph.variable("w", {{"rows", 4}, 2}, DType::f32);
};

TEST_F(Layouts, AreWhatTheReadersWant) {
  const Tensor first = copied(w), second = copied(w);
  graph.fetch(second);
  EXPECT_THAT(run(first), ElementsAre(4, 3, 2, 1, 8, 7, 6, 5));
}

TEST_F(Layouts, AreRowsUnlessThePlanMayChooseThem) {
  EXPECT_THAT(run(copied(w), false), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(Layouts, OfShadowsAreTheirOwn) {
  EXPECT_THAT(run(copied(graph.shadow(w, DType::bf16))), ElementsAre(4, 3, 2, 1, 8, 7, 6, 5));
}

TEST_F(Layouts, AreRowsWhereOneReaderWantsThem) {
  const Tensor of_tiles = copied(w, 3);
  graph.fetch(of_tiles);
  EXPECT_THAT(run(copied(w)), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST_F(Layouts, AreRowsWhereTheVariableChangesOrIsFetched) {
  const Tensor v = graph.variable("v", {{"rows", 4}, 2}, DType::f32);
  graph.fetch(copied(v));
  graph.fetch(v);
  const Tensor before = copied(w);
  call("change", {w}, [](const TileArgs&) {}, {.in_place = 0});
  EXPECT_THAT(run(before), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  for (const TileLayout* layout : plan().layouts) EXPECT_EQ(layout, nullptr);
}

TEST_F(Layouts, MustBeThoseOfTheSession) {
  graph.fetch(copied(w));
  Session session({.engine = "threads", .workers = 1});
  const Executor executor(session, plan());
  EXPECT_THAT(
      [&] { Executor(session, plan(false)); },
      ThrowsMessage<Error>(HasSubstr("'w' lies as reversed in this session, the plan wants it as rows")));
}

TEST_F(Layouts, CannotBeCutOtherwise) {
  graph.fetch(graph.apply1(std::make_shared<Copy>(2, Cuts(4)), {w}));
  EXPECT_THAT([&] { plan(); }, ThrowsMessage<Error>(HasSubstr("input 0 lies as reversed")));
  EXPECT_NO_THROW(plan(false));
}

}  // namespace
}  // namespace tessera
