// Rates of kernels: what is counted, what is chosen, and that the walk through a plan computes what an
// executor does.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/op_rates.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "codelets/add/add.hpp"
#include "codelets/embedding/embedding.hpp"
#include "codelets/matmul/matmul.hpp"

namespace tessera {
namespace {

const CoreBounds bounds{.matmul = {.f32 = 100, .bf16 = 200}, .read = 10e9, .update = 20e9};

std::map<std::string, OpRate> rates_of(const Plan& plan, std::span<const Feed> feeds,
                                       std::set<std::string>& known, bool all = false) {
  std::map<std::string, OpRate> rates;
  measure_op_rates(plan, feeds, bounds, known, {.seconds = 1e-4, .all = all, .found = [&](const OpRate& r) {
                                                  rates[r.kernel + r.tiles] = r;
                                                }});
  return rates;
}

TEST(OpRates, BoundsAreTheLargerOfFlopsAndBytes) {
  EXPECT_DOUBLE_EQ(bounds.seconds(DType::f32, 1e9, 0, 0), 0.01);
  EXPECT_DOUBLE_EQ(bounds.seconds(DType::bf16, 1e9, 0, 0), 0.005);
  EXPECT_DOUBLE_EQ(bounds.seconds(DType::f32, 1, 1e9, 0), 0.1);
  EXPECT_DOUBLE_EQ(bounds.seconds(DType::f32, 1, 1e9, 3e9), 0.2);
}

TEST(OpRates, CountFlopsAndBytesOfACall) {
  Graph graph;
  const Tensor a = graph.input("a", {32, 64}, DType::f32), b = graph.input("b", {16, 64}, DType::f32);
  graph.fetch(matmul(a, b, {.transpose_b = true}));
  const std::vector<float> va(32 * 64, 1), vb(16 * 64, 1);
  std::set<std::string> known;
  const auto rates = rates_of(make_plan(graph, {}), std::vector<Feed>{{a, va}, {b, vb}}, known);
  ASSERT_EQ(rates.size(), 1u);
  const OpRate& rate = rates.begin()->second;
  EXPECT_EQ(rate.op, "matmul");
  EXPECT_EQ(rate.tiles, "f32 32x64, f32 16x64 > f32 32x16");
  EXPECT_EQ(rate.flops, 2.0 * 32 * 64 * 16);
  EXPECT_EQ(rate.read_bytes, 4 * (32 * 64 + 16 * 64));
  EXPECT_EQ(rate.written_bytes, 4 * 32 * 16);
  EXPECT_GT(rate.seconds, 0);
  EXPECT_DOUBLE_EQ(rate.share(), std::max(rate.flops_s, rate.bytes_s) / rate.seconds);
}

TEST(OpRates, TablesCountByTheRowsLookedUp) {
  Graph graph;
  const Tensor ids = graph.input("ids", {Dim("rows", 4)}, DType::i32);
  const Tensor table = graph.variable("table", {Dim("vocab", 100), 8}, DType::f32, {.std = 1});
  graph.fetch(embedding(table, ids));
  const std::vector<int32_t> values{3, -1, 99, 3};
  std::set<std::string> known;
  const auto rates = rates_of(make_plan(graph, {}), std::vector<Feed>{{ids, values}}, known);
  ASSERT_EQ(rates.size(), 1u);
  EXPECT_EQ(rates.begin()->second.read_bytes, 4 * 4 + 3 * 8 * 4);
  EXPECT_EQ(rates.begin()->second.written_bytes, 4 * 8 * 4);
}

TEST(OpRates, TakeTheLargestOfAKindUnlessAllAreAsked) {
  Graph graph;
  const Tensor x = graph.input("x", {Dim("rows", 24), 8}, DType::f32);
  graph.fetch(add(x, x));
  const Plan plan = make_plan(graph, {.tiling = Tiling::parse("rows=16,8")});
  const std::vector<float> values(24 * 8, 2);
  std::set<std::string> known, known_all;
  const auto largest = rates_of(plan, std::vector<Feed>{{x, values}}, known);
  ASSERT_EQ(largest.size(), 1u);
  EXPECT_THAT(largest.begin()->second.tiles, testing::HasSubstr("16x8"));
  EXPECT_EQ(rates_of(plan, std::vector<Feed>{{x, values}}, known_all, true).size(), 2u);
  EXPECT_EQ(rates_of(plan, std::vector<Feed>{{x, values}}, known_all, true).size(), 0u) << "known already";
}

}  // namespace
}  // namespace tessera
