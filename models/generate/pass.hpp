// One pass of a model over new rows of sequences: those of a prompt, or the last token of each.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/config/model_config.hpp"
#include "models/layers/scope.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {

struct Sampling {
  float temperature = 0;  // 0: the likeliest token
  int top_k = 0;          // only among the k likeliest; 0: all
  float top_p = 1;        // only among the likeliest that together have this probability
  uint64_t seed = 0;
};

struct PassOptions {
  int64_t rows = 1;       // of all sequences together, at most
  int64_t sequences = 1;  // more than one needs the cache
  int64_t capacity = 1;   // positions of a sequence
  DType dtype = DType::f32;
  bool record = false;  // for a trace
  bool cache = true;    // keys and values of earlier passes; without it a pass holds one whole sequence
  std::optional<DType> cache_dtype = {};  // f32, bf16 or f16; empty: as dtype
};

struct PassRow {
  int32_t token = 0, position = 0, sequence = 0;
};

// The graph alone, and what enters it.
class PassGraph {
 public:
  PassGraph(const ModelConfig& model, const PassOptions& options);

  Plan plan() const;
  const std::vector<Parameter>& parameters() const { return parameters_; }

  // The values of one pass; `next` of a sequence without a row here means nothing. They must not move while
  // feeds point at them.
  struct Values {
    std::vector<int32_t> tokens, positions, starts, block_table, sequence, slots, last, rng;
    std::vector<float> sampling;
  };
  Values values(std::span<const PassRow> rows, const Sampling& sampling, int64_t step) const;
  std::vector<Feed> feeds(const Values& values) const;
  Tensor next() const { return next_; }  // i32 [sequences]: the token after the last row of each

 private:
  PassOptions options_;
  int64_t blocks_;  // of a sequence
  std::unique_ptr<Graph> graph_ = std::make_unique<Graph>();
  Tensor tokens_, positions_, starts_, block_table_, sequence_, slots_, last_, rng_, sampling_, next_;
  std::vector<Parameter> parameters_;
};

class Pass {
 public:
  Pass(Session& session, const ModelConfig& model, const PassOptions& options)
      : rows_(options.rows),
        graph_(model, options),
        executor_(session, graph_.plan(), {.record = options.record}) {}

  int64_t rows() const { return rows_; }
  const PassGraph& graph() const { return graph_; }
  const Executor& executor() const { return executor_; }
  // The next token of every sequence. `step` numbers the draws of random tokens.
  std::vector<int32_t> operator()(std::span<const PassRow> rows, const Sampling& sampling, int64_t step);

 private:
  int64_t rows_;
  PassGraph graph_;
  Executor executor_;
};

// The passes that a prompt goes in by: many rows at a time, fewer where it is short or ends.
class Prefill {
 public:
  // options.rows is the longest prompt that is to come.
  Prefill(Session& session, const ModelConfig& model, PassOptions options);

  // For a prompt of which so many rows are left.
  Pass& pass_for(int64_t left);

 private:
  std::optional<Pass> short_, long_;
};

}  // namespace tessera
