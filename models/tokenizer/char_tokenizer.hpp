// A token per character, for the characters that a text has.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_map>

#include "models/tokenizer/tokenizer.hpp"

namespace tessera {

class CharTokenizer final : public Tokenizer {
 public:
  // Ids in the order of `characters` (UTF-8, each once); eos is one of them.
  explicit CharTokenizer(std::string_view characters, std::string_view eos = {});
  // The characters of a text, in the order of their code points.
  static CharTokenizer of(std::string_view text);

  std::vector<int32_t> encode(std::string_view text) const override;
  std::string_view bytes_of(int32_t token) const override;
  int32_t vocab_size() const override { return static_cast<int32_t>(texts_.size()); }
  std::string to_json() const override;
  std::optional<int32_t> eos() const override { return eos_; }

 private:
  std::vector<std::string> texts_;
  std::unordered_map<int32_t, int32_t> ids_;  // by code point
  std::optional<int32_t> eos_;
};

}  // namespace tessera
