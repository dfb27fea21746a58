// Generation.
// SPDX-License-Identifier: Apache-2.0
#include "models/generate/generator.hpp"

#include <algorithm>

#include "codelets/embedding/embedding.hpp"
#include "codelets/sample/sample.hpp"
#include "models/checkpoint/hf_weights.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

constexpr int64_t block_size = 32;    // rows of a cache block
constexpr int64_t prefill_rows = 64;  // prompts go in by so many rows at a time

}  // namespace

Generator::Generator(Session& session, const std::filesystem::path& folder, const Options& options)
    : config_(read_hf_config(folder / "config.json")), options_(options) {
  const int64_t positions = config_.model.seq;
  options_.capacity = options_.capacity == 0 ? positions : std::min(options_.capacity, positions);
  check_weights(folder, config_.model);  // before anything as large as config.json says is made
  prefill_ =
      make_pass(session, options_.cache ? std::min(prefill_rows, options_.capacity) : options_.capacity);
  if (options_.cache) decode_ = make_pass(session, 1);
  load_weights(folder, config_.model, session);
}

Generator::Pass Generator::make_pass(Session& session, int64_t rows) const {
  Pass pass;
  pass.rows = rows;
  Graph& graph = *pass.graph;
  const int64_t blocks = (options_.capacity + block_size - 1) / block_size;
  const Shape per_row{Dim("rows", rows)};
  pass.tokens = graph.input("tokens", per_row, DType::i32);
  pass.last = graph.input("last", {Dim("last", 1)}, DType::i32);
  pass.rng = graph.input("rng", {2}, DType::i32);
  pass.sampling = graph.input("sampling", {3}, DType::f32);
  Context context;
  context.positions = pass.positions = graph.input("positions", per_row, DType::i32);
  if (options_.cache) {
    context.block_table = pass.block_table = graph.input("block_table", {1, blocks}, DType::i32);
    context.sequence = pass.sequence = graph.input("sequence", per_row, DType::i32);
    context.slots = pass.slots = graph.input("slots", per_row, DType::i32);
    context.cache_rows = blocks * block_size;
    context.block_size = block_size;
  } else {
    context.starts = pass.starts = graph.input("starts", per_row, DType::i32);
    context.seq = rows;
  }
  ModelParts parts{graph, options_.dtype};
  const LanguageModel model(parts, config_.model);
  const Tensor hidden = embedding(model.hidden(pass.tokens, context), pass.last);
  pass.next = sample(model.logits(hidden), pass.rng, pass.sampling);
  graph.fetch(pass.next);
  pass.executor = std::make_unique<Executor>(session, make_plan(graph, {}));
  return pass;
}

// Runs the ids from `from` on, at most pass.rows of them, and returns the token after the last one.
int32_t Generator::run(Pass& pass, const std::vector<int32_t>& ids, int64_t from,
                       const Sampling& sampling) const {
  const auto n = static_cast<size_t>(pass.rows);
  const size_t live = std::min(n, ids.size() - static_cast<size_t>(from));
  std::vector<int32_t> tokens(n, -1), positions(n, 0), starts(n, -1), sequence(n, -1), slots(n, -1);
  for (size_t r = 0; r < live; ++r) {
    tokens[r] = ids[static_cast<size_t>(from) + r];
    positions[r] = slots[r] = static_cast<int32_t>(from) + static_cast<int32_t>(r);
    starts[r] = sequence[r] = 0;
  }
  const std::vector<int32_t> last{static_cast<int32_t>(live) - 1};
  const std::vector<int32_t> rng{static_cast<int32_t>(sampling.seed), static_cast<int32_t>(ids.size())};
  const std::vector<float> how{sampling.temperature, static_cast<float>(sampling.top_k), sampling.top_p};
  std::vector<int32_t> table;
  std::vector<Feed> feeds{{pass.tokens, tokens},
                          {pass.positions, positions},
                          {pass.last, last},
                          {pass.rng, rng},
                          {pass.sampling, how}};
  if (options_.cache) {
    for (int64_t block = 0; block < pass.block_table.shape().size(); ++block)
      table.push_back(static_cast<int32_t>(block));
    feeds.insert(feeds.end(), {{pass.block_table, table}, {pass.sequence, sequence}, {pass.slots, slots}});
  } else {
    feeds.emplace_back(pass.starts, starts);
  }
  return pass.executor->run(feeds).get_i32(pass.next)[0];
}

void Generator::check(const std::vector<int32_t>& prompt, int64_t max_new) const {
  const int64_t vocab = config_.model.vocab;
  if (prompt.empty())
    throw error("the prompt is empty: give at least one token, with --prompt or --prompt-ids");
  for (int32_t id : prompt)
    if (id < 0 || id >= vocab)
      throw error("token id {} is not in the model's vocabulary of {}; ids from 0 to {} are", id, vocab,
                  vocab - 1);
  const int64_t room =
      options_.capacity - static_cast<int64_t>(prompt.size()) + 1;  // the last token needs no position
  if (room < 1)
    throw error("{} prompt tokens are beyond the model's {} positions; shorten the prompt", prompt.size(),
                options_.capacity);
  if (max_new > room)
    throw error(
        "{} prompt tokens and {} new ones are beyond the model's {} positions; ask for at most {} new ones",
        prompt.size(), max_new, options_.capacity, room);
}

std::vector<int32_t> Generator::operator()(const std::vector<int32_t>& prompt,
                                           const GenerateOptions& options) {
  check(prompt, options.max_new);
  std::vector<int32_t> ids = prompt, fresh;
  int64_t cached = 0;  // ids whose keys and values are in the cache
  while (static_cast<int64_t>(fresh.size()) < options.max_new) {
    int32_t next = 0;
    if (!options_.cache) {
      next = run(prefill_, ids, 0, options.sampling);
    } else {
      while (cached < static_cast<int64_t>(ids.size())) {
        const int64_t left = static_cast<int64_t>(ids.size()) - cached;
        Pass& pass = left == 1 ? decode_ : prefill_;
        next = run(pass, ids, cached, options.sampling);
        cached += std::min(left, pass.rows);
      }
    }
    ids.push_back(next);
    fresh.push_back(next);
    if (options.token) options.token(next);
    if (options.eos && next == *options.eos) break;
  }
  return fresh;
}

}  // namespace tessera
