// The parts that all tokenizer.json files share; for this folder's sources.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/tokenizer.hpp"

namespace tessera {

// A file around a BPE model without merges, normalizer or pre-tokenizer, to be filled in.
nlohmann::json bpe_skeleton(std::span<const std::string> tokens);
nlohmann::json special_token(int32_t id, std::string_view text);

// Member `key`, or null where it is absent or `object` is none.
const nlohmann::json& member(const nlohmann::json& object, std::string_view key);
// The member's "type"; empty where it has none.
std::string type_of(const nlohmann::json& object, std::string_view key);

// model.vocab in the order of its ids. Error where the ids are not 0 to n - 1, each once.
std::vector<std::string> read_vocab(const nlohmann::json& file, std::string_view source);
// Ids and texts of the special ones among added_tokens. Error where they disagree with the vocabulary.
std::vector<std::pair<int32_t, std::string>> read_specials(const nlohmann::json& file,
                                                           std::span<const std::string> vocab,
                                                           std::string_view source);

// Each returns null where the file is of another kind.
std::unique_ptr<Tokenizer> read_char_tokenizer(const nlohmann::json& file, std::string_view source);
std::unique_ptr<Tokenizer> read_byte_tokenizer(const nlohmann::json& file, std::string_view source);
std::unique_ptr<Tokenizer> read_sentencepiece_tokenizer(const nlohmann::json& file, std::string_view source);

}  // namespace tessera
