// Generation.
// SPDX-License-Identifier: Apache-2.0
#include "models/generate/generator.hpp"

#include <algorithm>

#include "models/checkpoint/hf_weights.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
Generator::Generator(Session& session, const std::filesystem::path& folder, const Options& options)
    : config_(read_hf_config(folder / "config.json")), options_(options) {
  const int64_t positions = config_.model.seq;
  options_.capacity = options_.capacity == 0 ? positions : std::min(options_.capacity, positions);
  check_weights(folder, config_.model);  // before anything as large as config.json says is made
  PassOptions pass{.rows = options_.capacity,
                   .capacity = options_.capacity,
                   .dtype = options_.dtype,
                   .cache = options_.cache,
                   .cache_dtype = options_.cache_dtype};
  if (options_.cache) {
    PassOptions one = pass;
    one.rows = 1;
    decode_.emplace(session, config_.model, one);  // first: weights then lie in the order of its tasks
    prefill_.emplace(session, config_.model, pass);
  } else {
    whole_.emplace(session, config_.model, pass);
  }
  load_weights(folder, config_.model, session);
}

int32_t Generator::run(Pass& pass, const std::vector<int32_t>& ids, int64_t from, const Sampling& sampling) {
  std::vector<PassRow> rows;
  const int64_t end = std::min(from + pass.rows(), static_cast<int64_t>(ids.size()));
  for (int64_t at = from; at < end; ++at)
    rows.push_back({.token = ids[static_cast<size_t>(at)], .position = static_cast<int32_t>(at)});
  return pass(rows, sampling, static_cast<int64_t>(ids.size()))[0];
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
      next = run(*whole_, ids, 0, options.sampling);
    } else {
      while (cached < static_cast<int64_t>(ids.size())) {
        const int64_t left = static_cast<int64_t>(ids.size()) - cached;
        Pass& pass = left == 1 ? *decode_ : prefill_->pass_for(left);
        next = run(pass, ids, cached, options.sampling);
        cached += std::min(left, pass.rows());
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
