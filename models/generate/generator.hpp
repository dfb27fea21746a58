// Generation: a model folder continues token ids, with a paged key/value cache or without one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/config/hf_config.hpp"
#include "models/train/language_model.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {

struct Sampling {
  float temperature = 0;  // 0: the likeliest token
  int top_k = 0;          // only among the k likeliest; 0: all
  float top_p = 1;        // only among the likeliest that together have this probability
  uint64_t seed = 0;
};

struct GenerateOptions {
  int64_t max_new = 64;
  Sampling sampling = {};
  std::optional<int32_t> eos = {};                // ends the text
  std::function<void(int32_t token)> token = {};  // told as tokens come
};

class Generator {
 public:
  struct Options {
    DType dtype = DType::f32;
    bool cache = true;
    int64_t capacity = 0;  // longest sequence; 0: the model's positions
  };

  // Reads the folder's weights into the session.
  Generator(Session& session, const std::filesystem::path& folder, const Options& options);

  // Throws Error where ids lie beyond the vocabulary, or prompt and new ids beyond the positions.
  void check(const std::vector<int32_t>& prompt, int64_t max_new) const;
  // The new ids, after this check.
  std::vector<int32_t> operator()(const std::vector<int32_t>& prompt, const GenerateOptions& options);

  const HfConfig& config() const { return config_; }

 private:
  // A plan over some rows of one sequence; its last true row gives the next token.
  struct Pass {
    int64_t rows = 0;
    std::unique_ptr<Graph> graph = std::make_unique<Graph>();
    Tensor tokens, positions, starts, block_table, sequence, slots, last, rng, sampling, next;
    std::unique_ptr<Executor> executor;
  };

  Pass make_pass(Session& session, int64_t rows) const;
  int32_t run(Pass& pass, const std::vector<int32_t>& ids, int64_t from, const Sampling& sampling) const;

  HfConfig config_;
  Options options_;
  Pass prefill_, decode_;
};

}  // namespace tessera
