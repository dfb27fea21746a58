// Passes: sequences decoded together get the tokens that each gets alone.
// SPDX-License-Identifier: Apache-2.0
#include "models/generate/pass.hpp"

#include <gtest/gtest.h>

namespace tessera {
namespace {

ModelConfig small(ModelKind kind) {
  ModelConfig model = default_model(kind);
  model.layers = 2;
  model.heads = model.kv_heads = 2;
  model.width = 64;  // as matrix units want it, and the matmul library's layout
  model.ffn = 128;
  model.vocab = 97;
  model.seq = 40;
  model.init_std = 0.5;
  return model;
}

// What a prompt of three tokens and five steps give every sequence.
std::vector<std::vector<int32_t>> continued(const ModelConfig& model, const std::vector<int32_t>& first,
                                            DType dtype, DType cache) {
  const auto n = static_cast<int64_t>(first.size());
  Session session({.engine = "threads", .workers = 1}, 3);
  PassOptions options{.rows = 3, .sequences = n, .capacity = 40, .dtype = dtype, .cache_dtype = cache};
  Pass prefill(session, model, options);
  options.rows = n;
  Pass decode(session, model, options);
  std::vector<int32_t> next(first.size());
  for (int32_t s = 0; s < n; ++s) {
    const int32_t token = first[static_cast<size_t>(s)];
    next[static_cast<size_t>(s)] = prefill(std::vector<PassRow>{{token, 0, s}, {token + 1, 1, s}, {7, 2, s}},
                                           {}, 0)[static_cast<size_t>(s)];
  }
  std::vector<std::vector<int32_t>> tokens(first.size());
  for (int32_t position = 3; position < 8; ++position) {
    std::vector<PassRow> rows;
    for (int32_t s = 0; s < n; ++s) {
      tokens[static_cast<size_t>(s)].push_back(next[static_cast<size_t>(s)]);
      rows.push_back({next[static_cast<size_t>(s)], position, s});
    }
    next = decode(rows, {}, position);
  }
  return tokens;
}

TEST(Pass, SequencesTogetherAreAsAlone) {
  for (ModelKind kind : {ModelKind::gpt2, ModelKind::llama})
    for (const auto& [dtype, cache] :
         {std::pair{DType::f32, DType::f32}, {DType::bf16, DType::bf16}, {DType::f32, DType::f16}}) {
      const std::vector<int32_t> first{5, 60, 31};
      const auto together = continued(small(kind), first, dtype, cache);
      for (size_t s = 0; s < first.size(); ++s)
        EXPECT_EQ(together[s], continued(small(kind), {first[s]}, dtype, cache)[0]) << s;
      EXPECT_NE(together[0], together[1]);
    }
}

TEST(Prefill, TakesManyRowsAtATimeWhereThereAreMany) {
  Session session({.engine = "threads", .workers = 1});
  ModelConfig model = small(ModelKind::llama);
  model.seq = 300;
  Prefill prefill(session, model, {.rows = 300, .capacity = 300});
  for (const auto& [left, rows] :
       {std::pair{300, 256}, {256, 256}, {193, 256}, {192, 64}, {65, 64}, {44, 64}, {1, 64}})
    EXPECT_EQ(prefill.pass_for(left).rows(), rows) << left;
  Prefill brief(session, model, {.rows = 70, .capacity = 300});
  EXPECT_EQ(brief.pass_for(70).rows(), 70);
  EXPECT_EQ(brief.pass_for(64).rows(), 64);
  EXPECT_EQ(Prefill(session, model, {.rows = 40, .capacity = 300}).pass_for(40).rows(), 40);
}

}  // namespace
}  // namespace tessera
