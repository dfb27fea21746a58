// Products whose right factor was laid out for the library beforehand.
// SPDX-License-Identifier: Apache-2.0
#include <hwy/targets.h>

#include "codelets/matmul/few_rows_packed.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/matmul/packed_layout.hpp"
#include "tests/codelets/products.hpp"
#include "tests/runtime/run_graph.hpp"

namespace tessera {
namespace {

using testing_ops::run_graph;
using testing_products::check;
using testing_products::Matrix;

bool has_layout(DType type) {
  return packed_size({.m = 1, .n = 1, .k = 1, .a = type, .b = type, .c = type}) > 0;
}
constexpr const char* no_layout = "gemm has no layout of its own on this CPU";

void packed_product(const Gemm& g, GemmOperands with) {
  std::vector<std::byte> packed(static_cast<size_t>(packed_size(g)) * size_of(g.b));
  pack_right(g, with.b, packed.data());
  Gemm product = g;
  product.packed_b = true;
  with.b = packed.data();
  gemm(product, with);
}

class PackedProduct : public testing::TestWithParam<DType> {};

TEST_P(PackedProduct, IsTheNaiveSum) {
  if (!has_layout(GetParam())) GTEST_SKIP() << no_layout;
  // Whole blocks, less than one, ends of rows and of columns, and both; of k = 66 rows of an odd length.
  constexpr struct {
    int64_t m, n, k;
  } sizes[] = {{48, 128, 64}, {3, 5, 2},     {1, 33, 19},   {197, 29, 263},
               {21, 261, 7},  {16, 64, 600}, {20, 200, 75}, {20, 130, 66}};
  const auto targets = hwy::SupportedAndGeneratedTargets();
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    for (const auto& [m, n, k] : sizes)
      // All that a product may be on the best vector unit; on the others, what is laid out otherwise.
      for (int kind = 0; kind < 32; kind += target == targets.front() ? 1 : 31)
        check({.m = m,
               .n = n,
               .k = k,
               .transpose_a = (kind & 2) != 0,
               .transpose_b = (kind & 1) != 0,
               .accumulate = (kind & 8) != 0,
               .a = GetParam(),
               .b = GetParam(),
               .c = kind & 4 ? GetParam() : DType::f32,
               .bias = (kind & 16) != 0},
              fmt::format("{}, kind {}, {} x {} x {}", hwy::TargetName(target), kind, m, n, k),
              packed_product);
  }
  hwy::SetSupportedTargetsForTest(0);
}
INSTANTIATE_TEST_SUITE_P(Types, PackedProduct, testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return std::string(name_of(type.param)); });

class PackedRows : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (!has_packed_rows(GetParam())) GTEST_SKIP() << "few rows do not go through such a layout on this CPU";
  }
};

TEST_P(PackedRows, OfAnyNumberAreTheNaiveSum) {
  for (int64_t m = 1; m <= few_rows; ++m)
    for (const int64_t k : {1, 32, 47, 130})
      check({.m = m,
             .n = 100,
             .k = k,
             .transpose_a = m % 2 == 0,
             .transpose_b = k % 2 == 0,
             .accumulate = m % 3 == 0,
             .a = GetParam(),
             .b = GetParam(),
             .c = m % 4 == 0 ? GetParam() : DType::f32,
             .bias = m % 5 == 0},
            fmt::format("{} x 100 x {}", m, k), packed_product);
}

// Sequences decoded together have the bits that each has alone.
TEST_P(PackedRows, DoNotDependOnTheOthers) {
  constexpr int64_t n = 100, k = 259;
  std::mt19937 random(3);
  const Matrix a(few_rows, k, GetParam(), random), b(n, k, GetParam(), random);
  Gemm g{.m = 1,
         .n = n,
         .k = k,
         .lda = a.ld,
         .ldb = b.ld,
         .ldc = n,
         .transpose_b = true,
         .a = GetParam(),
         .b = GetParam()};
  std::vector<std::vector<float>> alone;
  for (int64_t r = 0; r < few_rows; ++r) {
    alone.emplace_back(n);
    packed_product(g, {.a = a.bytes.data() + static_cast<size_t>(r * a.ld) * size_of(GetParam()),
                       .b = b.bytes.data(),
                       .c = alone.back().data()});
  }
  for (g.m = 2; g.m <= few_rows; ++g.m) {
    std::vector<float> all(static_cast<size_t>(g.m * n));
    packed_product(g, {.a = a.bytes.data(), .b = b.bytes.data(), .c = all.data()});
    for (int64_t r = 0; r < g.m; ++r)
      EXPECT_TRUE(std::equal(alone[static_cast<size_t>(r)].begin(), alone[static_cast<size_t>(r)].end(),
                             all.begin() + r * n))
          << "row " << r << " of " << g.m;
  }
}

TEST_P(PackedRows, AreOfAVariablesLayout) {
  for (const bool transposed : {false, true}) {
    const TileLayout* layout = packed_layout(GetParam(), 128, 192, transposed);
    ASSERT_NE(layout, nullptr);
    std::mt19937 random(5);
    const std::vector<std::byte> rows = Matrix(128, 188, GetParam(), random).bytes;  // rows of 192
    std::vector<std::byte> tile(rows.size()), again(rows.size());
    layout->arrange(GetParam(), 128, 192, rows.data(), tile.data());
    layout->restore(GetParam(), 128, 192, tile.data(), again.data());
    EXPECT_NE(tile, rows);
    EXPECT_EQ(again, rows);
    EXPECT_EQ(packed_layout(GetParam(), transposed ? 100 : 128, transposed ? 128 : 100, transposed), nullptr)
        << "columns that fill no panel";
    EXPECT_EQ(packed_layout(GetParam(), transposed ? 128 : 24, transposed ? 24 : 128, transposed), nullptr)
        << "rows that fill no block";
  }
}

// A variable that is only multiplied by lies so for good, for few rows and for many.
TEST_P(PackedRows, AreWhatAPlanLaysVariablesOutFor) {
  Graph graph;
  const Tensor few = graph.variable("few", {6, {"inner", 128}}, GetParam());
  const Tensor many = graph.variable("many", {40, {"inner", 128}}, GetParam());
  const Tensor w = graph.variable("w", {{"cols", 192}, {"inner", 128}}, GetParam());
  for (Tensor x : {few, many}) graph.fetch(matmul(x, w, {.transpose_b = true, .out = DType::f32}));
  PlanOptions options{.tiling = Tiling::parse("cols=64,128 inner=96,32")};
  const auto plain = run_graph(graph, options);
  options.lay_out = true;
  EXPECT_EQ(make_plan(graph, options).layout_of(static_cast<size_t>(w.id)),
            packed_layout(GetParam(), 64, 96, true));
  const auto packed = run_graph(graph, options);
  for (size_t k = 0; k < plain.size(); ++k)
    for (size_t i = 0; i < plain[k].size(); ++i) EXPECT_NEAR(packed[k][i], plain[k][i], 1e-4) << i;
}

INSTANTIATE_TEST_SUITE_P(Types, PackedRows, testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return std::string(name_of(type.param)); });

// A plan lays a factor out once where four tiles or more are multiplied by it, and computes the same.
class PackingPlan : public testing::Test {
 protected:
  // Labels of the tasks that lay out.
  static std::vector<std::string> packings(const Plan& plan) {
    std::vector<std::string> labels;
    for (const Task& task : plan.tasks)
      if (task.label.starts_with("pack")) labels.push_back(task.label);
    return labels;
  }

  Graph graph;
  Tensor x = graph.input("x", {{"rows", 40}, {"inner", 24}}, DType::f32);
  Tensor w = graph.variable("w", {{"inner", 24}, {"cols", 20}}, DType::f32);
  Tensor v = graph.variable("v", {{"other", 12}, {"cols", 20}}, DType::f32);
  Tensor y = matmul(matmul(x, w), v, {.transpose_b = true});
};

TEST_F(PackingPlan, ComputesTheSame) {
  if (!has_layout(DType::f32)) GTEST_SKIP() << no_layout;
  graph.fetch(y);
  PlanOptions options{.tiling = Tiling::parse("rows=10x4 inner=12,12 cols=8,12")};
  const auto plain = run_graph(graph, options);
  EXPECT_EQ(packings(make_plan(graph, options)).size(), 0U);
  options.pack = true;
  EXPECT_EQ(packings(make_plan(graph, options)).size(), 6U) << "four tiles of w, two of v";
  const auto packed = run_graph(graph, options);
  ASSERT_EQ(packed.size(), plain.size());
  for (size_t i = 0; i < plain[0].size(); ++i) EXPECT_NEAR(packed[0][i], plain[0][i], 1e-5) << i;
}

TEST_F(PackingPlan, LeavesWhatFewProductsShare) {
  graph.fetch(y);
  const Plan plan = make_plan(graph, {.tiling = Tiling::parse("rows=20,20"), .pack = true});
  EXPECT_EQ(packings(plan).size(), 0U);
}

}  // namespace
}  // namespace tessera
