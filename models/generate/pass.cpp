// Building and running passes.
// SPDX-License-Identifier: Apache-2.0
#include "models/generate/pass.hpp"

#include <algorithm>

#include "codelets/embedding/embedding.hpp"
#include "codelets/matmul/gemm.hpp"
#include "codelets/sample/sample.hpp"
#include "models/train/language_model.hpp"

namespace tessera {
namespace {

constexpr int64_t block_size = 32;  // rows of a cache block

}  // namespace

PassGraph::PassGraph(const ModelConfig& model, const PassOptions& options)
    : options_(options), blocks_((options.capacity + block_size - 1) / block_size) {
  Graph& graph = *graph_;
  const Shape per_row{Dim("rows", options.rows)};
  tokens_ = graph.input("tokens", per_row, DType::i32);
  last_ = graph.input("last", {Dim("last", options.sequences)}, DType::i32);
  rng_ = graph.input("rng", {2}, DType::i32);
  sampling_ = graph.input("sampling", {3}, DType::f32);
  Context context;
  context.positions = positions_ = graph.input("positions", per_row, DType::i32);
  if (options.cache) {
    context.block_table = block_table_ = graph.input("block_table", {options.sequences, blocks_}, DType::i32);
    context.sequence = sequence_ = graph.input("sequence", per_row, DType::i32);
    context.slots = slots_ = graph.input("slots", per_row, DType::i32);
    context.cache_rows = options.sequences * blocks_ * block_size;
    context.block_size = block_size;
    context.cache_dtype = options.cache_dtype;
  } else {
    context.starts = starts_ = graph.input("starts", per_row, DType::i32);
    context.seq = options.rows;
  }
  ModelParts parts{graph, options.dtype};
  const LanguageModel language(parts, model);
  const Tensor hidden = embedding(language.hidden(tokens_, context), last_);
  next_ = sample(language.logits(hidden), rng_, sampling_);
  graph.fetch(next_);
  parameters_ = parts.parameters;
}

// The same cuts for every number of workers, since sums over cut axes depend on them, and for passes of every
// size, since they share the weights.
Plan PassGraph::plan() const {
  constexpr int64_t parts = 4, least = int64_t{1} << 16;  // elements of a weight's tile
  constexpr int64_t panel = packed_columns;  // of the matmul library's layout, which has whole ones alone
  Tiling tiling;
  for (const Parameter& parameter : parameters_) {
    const Shape& shape = parameter.variable.shape();
    for (int d = 0; d < shape.rank(); ++d) {
      const Dim& dim = shape[d];
      const bool cut = dim.axis == "ffn" || dim.axis == "vocab" || dim.axis == "heads";
      if (!cut || tiling.has(dim.axis) || dim.units() < parts || shape.size() < parts * least) continue;
      const int64_t step = dim.unit == 1 && dim.size % panel == 0 && dim.size >= parts * panel ? panel : 1;
      const int64_t steps = dim.units() / step;
      // Groups are summed apart; a token's embedding has nothing to sum.
      std::vector<std::vector<int64_t>> groups(dim.axis == "vocab" ? 1 : parts);
      for (int64_t p = 0; p < parts; ++p)
        groups[static_cast<size_t>(p) % groups.size()].push_back(
            (steps * (p + 1) / parts - steps * p / parts) * step);
      tiling.cut(dim.axis, std::move(groups));
    }
  }
  return make_plan(*graph_, {.tiling = tiling, .lay_out = true, .join_chains = true});
}

PassGraph::Values PassGraph::values(std::span<const PassRow> rows, const Sampling& sampling,
                                    int64_t step) const {
  const auto n = static_cast<size_t>(options_.rows);
  Values v;
  v.tokens.assign(n, -1);
  v.positions.assign(n, 0);
  v.starts = v.sequence = v.slots = v.tokens;
  v.last.assign(static_cast<size_t>(options_.sequences), -1);
  for (size_t r = 0; r < rows.size(); ++r) {
    const PassRow& row = rows[r];
    v.tokens[r] = row.token;
    v.positions[r] = row.position;
    v.starts[r] = 0;
    v.sequence[r] = row.sequence;
    v.slots[r] = static_cast<int32_t>(row.sequence * blocks_ * block_size) + row.position;
    v.last[static_cast<size_t>(row.sequence)] = static_cast<int32_t>(r);
  }
  for (int32_t block = 0; block < options_.sequences * blocks_; ++block) v.block_table.push_back(block);
  v.rng = {static_cast<int32_t>(sampling.seed), static_cast<int32_t>(step)};
  v.sampling = {sampling.temperature, static_cast<float>(sampling.top_k), sampling.top_p};
  return v;
}

std::vector<Feed> PassGraph::feeds(const Values& v) const {
  std::vector<Feed> feeds{{tokens_, v.tokens},
                          {positions_, v.positions},
                          {last_, v.last},
                          {rng_, v.rng},
                          {sampling_, v.sampling}};
  if (options_.cache)
    feeds.insert(feeds.end(), {{block_table_, v.block_table}, {sequence_, v.sequence}, {slots_, v.slots}});
  else
    feeds.emplace_back(starts_, v.starts);
  return feeds;
}

std::vector<int32_t> Pass::operator()(std::span<const PassRow> rows, const Sampling& sampling, int64_t step) {
  const PassGraph::Values values = graph_.values(rows, sampling, step);
  return executor_.run(graph_.feeds(values)).get_i32(graph_.next());
}

Prefill::Prefill(Session& session, const ModelConfig& model, PassOptions options) {
  constexpr int64_t few = 64, many = 256;
  const int64_t longest = options.rows;
  options.rows = std::min(few, longest);
  short_.emplace(session, model, options);
  options.rows = std::min(many, longest);
  if (longest > few) long_.emplace(session, model, options);
}

// The long one where short ones would compute as many rows.
Pass& Prefill::pass_for(int64_t left) {
  const bool in_one = left <= short_->rows();
  return long_ && !in_one && left > long_->rows() - short_->rows() ? *long_ : *short_;
}

}  // namespace tessera
