// Text files as windows of tokens: at random places to train on, one after the other to evaluate.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/data/loader.hpp"
#include "models/tokenizer/tokenizer.hpp"

namespace tessera {

// The file's text. Error where it is missing, empty or no UTF-8.
std::string read_text(const std::filesystem::path& file);
// Its tokens; Error, with the file's name, where the tokenizer lacks a character of it.
std::vector<int32_t> read_tokens(const std::filesystem::path& file, const Tokenizer& tokenizer);

// Windows of seq tokens that start anywhere with the same probability. Error where the text is shorter than
// one.
class RandomWindows final : public Loader {
 public:
  RandomWindows(std::vector<int32_t> tokens, const LoaderOptions& options);

  Batch at(int64_t index) const override;
  int64_t batches() const override { return 0; }

 private:
  std::vector<int32_t> tokens_;
  LoaderOptions options_;
};

// All full windows from the start on, each once; the last batch is padded.
class SequentialWindows final : public Loader {
 public:
  SequentialWindows(std::vector<int32_t> tokens, const LoaderOptions& options);

  Batch at(int64_t index) const override;
  int64_t batches() const override { return (windows() + options_.batch - 1) / options_.batch; }
  int64_t windows() const { return (static_cast<int64_t>(tokens_.size()) - 1) / options_.seq; }

 private:
  std::vector<int32_t> tokens_;
  LoaderOptions options_;
};

}  // namespace tessera
