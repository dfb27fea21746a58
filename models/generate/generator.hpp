// Generation: a model folder continues token ids, with a paged key/value cache or without one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/config/hf_config.hpp"
#include "models/generate/pass.hpp"

namespace tessera {

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
    std::optional<DType> cache_dtype = {};  // of keys and values; empty: as dtype
    int64_t capacity = 0;                   // longest sequence; 0: the model's positions
  };

  // Reads the folder's weights into the session.
  Generator(Session& session, const std::filesystem::path& folder, const Options& options);

  // Throws Error where ids lie beyond the vocabulary, or prompt and new ids beyond the positions.
  void check(const std::vector<int32_t>& prompt, int64_t max_new) const;
  // The new ids, after this check.
  std::vector<int32_t> operator()(const std::vector<int32_t>& prompt, const GenerateOptions& options);

  const HfConfig& config() const { return config_; }

 private:
  // Runs the ids from `from` on, at most pass.rows() of them, and returns the token after the last one.
  static int32_t run(Pass& pass, const std::vector<int32_t>& ids, int64_t from, const Sampling& sampling);

  HfConfig config_;
  Options options_;
  std::optional<Prefill> prefill_;
  std::optional<Pass> decode_, whole_;  // the latter without a cache
};

}  // namespace tessera
