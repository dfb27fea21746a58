// Cross-entropy and embeddings beyond their cases: bad labels, hidden dependencies, tied heads.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "codelets/cross_entropy/cross_entropy.hpp"
#include "codelets/embedding/embedding.hpp"
#include "codelets/matmul/matmul.hpp"
#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Loss {
  float loss, count;
  std::vector<float> lse, d_logits;
};

// Four rows, six classes in tiles of two.
Loss loss_of(const std::vector<float>& logits, const std::vector<int32_t>& labels,
             CrossEntropyOptions options = {}) {
  Graph graph;
  const Tensor x = graph.input("logits", {{"rows", 4}, {"vocab", 6}}, DType::f32);
  const Tensor y = graph.input("labels", {{"rows", 4}}, DType::i32);
  const CrossEntropyResult result = cross_entropy(x, y, options);
  const Tensor d_x = graph.grad(result.loss, std::vector{x})[0];
  for (Tensor tensor : {result.loss, result.lse, result.count, d_x}) graph.fetch(tensor);
  Session session({.engine = "threads", .workers = 2});
  Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=2|2 vocab=2|2,2")}),
                    {.poison = true});
  const Executor::Step step = executor.run({{x, logits}, {y, labels}});
  return {step.scalar(result.loss), step.scalar(result.count), step.get(result.lse), step.get(d_x)};
}

std::string failure_of(auto&& call) {
  try {
    call();
  } catch (const std::exception& problem) {
    return problem.what();
  }
  return "no failure";
}

TEST(CrossEntropy, RefusesLabelsOutsideTheVocabulary) {
  const std::vector<float> logits(24, 0.5f);
  EXPECT_THAT(
      failure_of([&] { loss_of(logits, {0, 5, 6, 1}); }),
      testing::HasSubstr("the label of row 2 is 6, not in [0, 6); rows to be ignored have the label -100"));
  EXPECT_THAT(failure_of([&] { loss_of(logits, {0, 5, 1, -1}); }),
              testing::HasSubstr("the label of row 3 is -1"));
  EXPECT_EQ(loss_of(logits, {0, 5, 1, -1}, {.ignore_index = -1}).count, 3);
  EXPECT_EQ(loss_of(logits, {0, 5, 1, 0}, {.ignore_index = 0}).count, 2);
}

TEST(CrossEntropy, IsZeroWhereEveryRowIsIgnored) {
  std::vector<float> logits(24, 0.5f);
  logits[7] = infinity;  // padding may hold anything
  const Loss result = loss_of(logits, {-100, -100, -100, -100});
  EXPECT_EQ(result.loss, 0);
  EXPECT_EQ(result.count, 0);
  EXPECT_EQ(result.d_logits, std::vector<float>(24, 0.0f));
}

TEST(CrossEntropy, BearsMaskedLogits) {
  std::vector<float> logits(24, 0.0f);
  for (int column : {0, 1, 3, 4, 5}) logits[static_cast<size_t>(column)] = -infinity;  // one class is left
  const Loss result = loss_of(logits, {2, 0, 0, 0});
  EXPECT_NEAR(result.loss, 0.75f * std::log(6.0f), 1e-6f);
  EXPECT_EQ(result.lse[0], 0);
  for (float d : result.d_logits) EXPECT_TRUE(std::isfinite(d));
}

TEST(CrossEntropy, DoesNotHideWhatIsNotANumber) {
  for (float odd : {infinity, std::numeric_limits<float>::quiet_NaN()})
    for (size_t at : {6u, 9u, 11u}) {
      std::vector<float> logits(24, 0.5f);
      logits[at] = odd;
      const Loss result = loss_of(logits, {0, 0, 0, 0});
      EXPECT_TRUE(std::isnan(result.loss)) << odd << " at " << at;
      EXPECT_TRUE(std::isnan(result.d_logits[at])) << odd << " at " << at;
      EXPECT_TRUE(std::isfinite(result.d_logits[12]));
    }
}

// Rows whose logits a task needs, itself or through what it waits for.
TEST(CrossEntropy, BackwardOfARowTileDoesNotWaitForOtherRows) {
  Graph graph;
  const Tensor x = graph.input("logits", {{"rows", 16}, {"vocab", 12}}, DType::f32);
  const CrossEntropyResult result = cross_entropy(x, graph.input("labels", {{"rows", 16}}, DType::i32));
  graph.fetch(result.loss);
  graph.fetch(graph.grad(result.loss, std::vector{x})[0]);
  for (bool fuse : {false, true})
    for (const char* tiling : {"rows=4x4", "rows=4|4|4|4 vocab=3x4", "rows=4x2|4x2 vocab=4|4|4"}) {
      const Plan plan = make_plan(graph, {.tiling = Tiling::parse(tiling), .fuse = fuse});
      std::vector<std::set<int64_t>> rows(plan.tasks.size());
      int backward_tasks = 0;
      for (size_t t = 0; t < plan.tasks.size(); ++t) {
        std::set<int64_t> own;
        bool backward = false;
        for (const Stage& stage : plan.tasks[t].stages) {
          backward = backward || stage.kernel->name == "cross_entropy_backward";
          for (const Access& access : stage.accesses)
            if (const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)]; tile.tensor == x.id)
              own.insert(tile.row0);
        }
        rows[t].insert(own.begin(), own.end());
        backward_tasks += backward;
        if (backward) {
          EXPECT_EQ(rows[t].size(), 1u) << plan.tasks[t].label << " with " << tiling;
        }
        for (int next : plan.tasks[t].next)
          rows[static_cast<size_t>(next)].insert(rows[t].begin(), rows[t].end());
      }
      EXPECT_GE(backward_tasks, 4);
    }
}

TEST(Embedding, RefusesIdsBeyondTheTable) {
  Graph graph;
  const Tensor table = graph.variable("table", {{"vocab", 6}, 3}, DType::f32, {.mean = 1});
  const Tensor ids = graph.input("ids", {{"rows", 4}}, DType::i32), y = embedding(table, ids);
  graph.fetch(y);
  auto run = [&](const std::vector<int32_t>& values) {
    Session session({.engine = "threads", .workers = 2});
    Executor executor(session, make_plan(graph, {.tiling = Tiling::parse("rows=2,2 vocab=4|2")}),
                      {.poison = true});
    return executor.run({{ids, values}}).get(y);
  };
  EXPECT_THAT(failure_of([&] { run({0, 5, 1, 6}); }),
              testing::HasSubstr("the id of row 3 is 6, but the table has 6 rows"));
  EXPECT_THAT(run({0, -7, 5, 4}), testing::ElementsAre(1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1));
}

// A table that is also the output layer, as in GPT-2.
struct Tied {
  Graph graph;
  Tensor table = graph.variable("table", {{"vocab", 12}, {"width", 5}}, DType::f32, {.std = 0.5f});
  Tensor ids = graph.input("ids", {{"rows", 8}}, DType::i32),
         labels = graph.input("labels", {{"rows", 8}}, DType::i32);
  Tensor loss = cross_entropy(matmul(embedding(table, ids), table, {.transpose_b = true}), labels).loss;
  Tensor d_table = graph.grad(loss, std::vector{table})[0];

  std::vector<float> gradient(bool fold, const std::string& tiling) {
    graph.fetch(d_table);
    Session session({.engine = "threads", .workers = 2}, 3);
    Executor executor(session, make_plan(graph, {.tiling = Tiling::parse(tiling), .fold = fold}),
                      {.poison = true});
    inputs_of_backward = 0;
    for (const Node& node : executor.plan().program.nodes)
      if (node.op->name() == "embedding_backward") inputs_of_backward = node.in.size();
    n_adds = static_cast<int>(std::count_if(executor.plan().program.nodes.begin(),
                                            executor.plan().program.nodes.end(),
                                            [](const Node& node) { return node.op->name() == "add"; }));
    return executor
        .run({{ids, std::vector<int32_t>{0, 3, 11, 3, 3, -1, 7, 0}},
              {labels, std::vector<int32_t>{1, 2, 3, 4, -100, 6, 7, 8}}})
        .get(d_table);
  }
  int n_adds = 0;
  size_t inputs_of_backward = 0;  // 3 where it adds to the head's gradient in place
};

TEST(Embedding, AddsItsGradientToATiedHeads) {
  for (const char* tiling : {"", "rows=2x2|4 vocab=5,4|3 width=3,2"}) {
    Tied tied;
    const std::vector<float> apart = tied.gradient(false, tiling);
    EXPECT_EQ(tied.n_adds, 1);
    const std::vector<float> folded = tied.gradient(true, tiling);
    EXPECT_EQ(tied.n_adds, 0);
    EXPECT_EQ(tied.inputs_of_backward, 3u);
    EXPECT_THAT(folded, testing::Pointwise(testing::FloatNear(1e-6f), apart));
  }
}

TEST(Embedding, LeavesABaseThatOthersReadAlone) {
  Tied tied;
  const std::vector<float> expected = tied.gradient(true, "");
  Tensor base;
  for (const Node& node : tied.graph.nodes())
    if (node.op->name() == "matmul" && node.backward_of >= 0 && node.out[0].shape() == tied.table.shape())
      base = node.out[0];
  ASSERT_TRUE(base);
  tied.graph.fetch(base);
  EXPECT_THAT(tied.gradient(true, ""), testing::Pointwise(testing::FloatNear(1e-6f), expected));
  EXPECT_EQ(tied.n_adds, 1);
}

}  // namespace
}  // namespace tessera
