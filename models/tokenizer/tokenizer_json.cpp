// Building and checking the parts that all tokenizer.json files share.
// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer/tokenizer_json.hpp"

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {

using nlohmann::json;

json bpe_skeleton(std::span<const std::string> tokens) {
  json vocab = json::object();
  for (size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", std::move(vocab)},
            {"merges", json::array()}}}};
}

json special_token(int32_t id, std::string_view text) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

const json& member(const json& object, std::string_view key) {
  static const json null;
  if (!object.is_object()) return null;
  auto at = object.find(key);
  return at == object.end() ? null : *at;
}

std::string type_of(const json& object, std::string_view key) {
  const json& type = member(member(object, key), "type");
  return type.is_string() ? type.get<std::string>() : "";
}

std::vector<std::string> read_vocab(const json& file, std::string_view source) {
  const json& vocab = member(member(file, "model"), "vocab");
  if (!vocab.is_object() || vocab.empty()) throw error("{}: model.vocab must map tokens to ids", source);
  std::vector<std::string> tokens(vocab.size());
  std::vector<bool> taken(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= tokens.size() || taken[id.get<size_t>()])
      throw error("{}: token {} must have an id of its own below {}", source, shown(token), tokens.size());
    taken[id.get<size_t>()] = true;
    tokens[id.get<size_t>()] = token;
  }
  return tokens;
}

std::vector<std::pair<int32_t, std::string>> read_specials(const json& file,
                                                           std::span<const std::string> vocab,
                                                           std::string_view source) {
  std::vector<std::pair<int32_t, std::string>> specials;
  for (const json& token : member(file, "added_tokens")) {
    const json &id = member(token, "id"), &text = member(token, "content");
    if (!id.is_number_unsigned() || !text.is_string() || text.get_ref<const std::string&>().empty() ||
        id.get<uint64_t>() >= vocab.size() || vocab[id.get<size_t>()] != text.get<std::string>())
      throw error("{}: added token {} is not in model.vocab under its id", source, shown(token.dump()));
    if (member(token, "special") == true) specials.emplace_back(id.get<int32_t>(), text.get<std::string>());
  }
  return specials;
}

}  // namespace tessera
