// Character tokens, in JSON a BPE model without merges.
// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer/char_tokenizer.hpp"

#include <algorithm>
#include <set>

#include "models/tokenizer/tokenizer_json.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {

CharTokenizer::CharTokenizer(std::string_view characters, std::string_view eos) {
  each_code_point(characters, [&](int32_t c, size_t begin, size_t end) {
    if (c < 0) throw error("a character tokenizer needs valid UTF-8, byte {} is not", begin);
    if (!ids_.emplace(c, vocab_size()).second)
      throw error("a character tokenizer has each character once, U+{:04X} comes twice", c);
    texts_.emplace_back(characters.substr(begin, end - begin));
  });
  if (eos.empty()) return;
  auto at = std::ranges::find(texts_, eos);
  if (at == texts_.end()) throw error("the end character {} is not among the tokenizer's", shown(eos));
  eos_ = static_cast<int32_t>(at - texts_.begin());
}

CharTokenizer CharTokenizer::of(std::string_view text) {
  std::set<int32_t> seen;
  each_code_point(text, [&](int32_t c, size_t begin, size_t) {
    if (c < 0) throw error("a character tokenizer needs valid UTF-8, byte {} is not", begin);
    seen.insert(c);
  });
  std::string characters;
  for (int32_t c : seen) characters += utf8_of(c);
  return CharTokenizer(characters);
}

std::vector<int32_t> CharTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  tokens.reserve(text.size());
  each_code_point(text, [&](int32_t c, size_t begin, size_t end) {
    if (c < 0) throw error("the text is not valid UTF-8 at byte {}", begin);
    auto at = ids_.find(c);
    if (at == ids_.end())
      throw error(
          "character {} (U+{:04X}, byte {} of the text) is not among the {} that this tokenizer knows",
          shown(text.substr(begin, end - begin)), c, begin, texts_.size());
    tokens.push_back(at->second);
  });
  return tokens;
}

std::string_view CharTokenizer::bytes_of(int32_t token) const {
  if (token < 0 || token >= vocab_size() || token == eos_) return {};
  return texts_[static_cast<size_t>(token)];
}

std::string CharTokenizer::to_json() const {
  nlohmann::json file = bpe_skeleton(texts_);
  file["decoder"] = {{"type", "Fuse"}};
  if (eos_) file["added_tokens"].push_back(special_token(*eos_, texts_[static_cast<size_t>(*eos_)]));
  return file.dump(2) + "\n";
}

std::unique_ptr<Tokenizer> read_char_tokenizer(const nlohmann::json& file, std::string_view source) {
  const nlohmann::json& model = member(file, "model");
  if (type_of(file, "model") != "BPE" || !member(file, "normalizer").is_null() ||
      !member(file, "pre_tokenizer").is_null() || !member(model, "merges").empty() ||
      member(model, "byte_fallback") == true)
    return nullptr;
  std::vector<std::string> vocab = read_vocab(file, source);
  std::string characters;
  for (const std::string& token : vocab) {
    size_t count = 0;
    each_code_point(token, [&](int32_t, size_t, size_t) { ++count; });
    if (count != 1)
      throw error("{}: token {} is not one character, and there are no merges", source, shown(token));
    characters += token;
  }
  auto specials = read_specials(file, vocab, source);
  if (specials.size() > 1)
    throw error("{}: has {} special tokens, one (the end) is read", source, specials.size());
  return std::make_unique<CharTokenizer>(characters, specials.empty() ? "" : specials[0].second);
}

}  // namespace tessera
