// Products whose right factor was laid out for the library beforehand.
// SPDX-License-Identifier: Apache-2.0
#include <hwy/targets.h>

#include "codelets/matmul/matmul.hpp"
#include "tests/codelets/products.hpp"
#include "tests/runtime/run_graph.hpp"

namespace tessera {
namespace {

using testing_ops::run_graph;
using testing_products::check;

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
