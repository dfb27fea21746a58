// BPE as SentencePiece and LLaMA do it: spaces as U+2581, unknown characters as bytes, bos before a prompt.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_map>
#include <utility>

#include "models/tokenizer/tokenizer.hpp"

namespace tessera {

class SentencepieceTokenizer final : public Tokenizer {
 public:
  struct Merge {
    int32_t left, right, merged;
  };

  // Tokens 0, 1, 2 are unknown, bos and eos; 256 are spelled <0x00> to <0xFF>; merges go best first.
  SentencepieceTokenizer(std::vector<std::string> vocab, std::vector<Merge> merges);
  SentencepieceTokenizer(SentencepieceTokenizer&&) = default;  // a copy's ids_ would point into the original

  std::vector<int32_t> encode(std::string_view text) const override;
  std::string_view bytes_of(int32_t token) const override;
  int32_t vocab_size() const override { return static_cast<int32_t>(vocab_.size()); }
  std::string to_json() const override;
  std::optional<int32_t> bos() const override { return 1; }
  std::optional<int32_t> eos() const override { return 2; }
  bool drops_first_space() const override { return true; }

  static constexpr int32_t specials = 3;

 private:
  void encode_segment(std::string_view text, std::vector<int32_t>& tokens) const;
  void merge_best_first(std::vector<int32_t>& tokens) const;

  std::vector<std::string> vocab_;  // as spelled in tokenizer.json
  std::vector<std::string> bytes_;
  std::vector<Merge> merges_;
  std::unordered_map<std::string_view, int32_t> ids_;
  std::unordered_map<uint64_t, size_t> ranks_;  // (left, right) -> index into merges_
  int32_t byte_ids_[256];
};

// A llama2.c tok*.bin: scores decide which pair is merged first, as in run.c.
SentencepieceTokenizer read_llama2c(std::string_view bytes, std::string_view source);

}  // namespace tessera
