// Encoding by merges best first, and LLaMA's form of tokenizer.json.
// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer/sentencepiece_tokenizer.hpp"

#include <fmt/format.h>

#include <queue>
#include <tuple>

#include "models/tokenizer/tokenizer_json.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

using nlohmann::json;

constexpr std::string_view space = "\xe2\x96\x81";  // U+2581

uint64_t pair_key(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at = 0;;) {
    size_t next = text.find(from, at);
    out += text.substr(at, next - at);
    if (next == text.npos) return out;
    out += to;
    at = next + from.size();
  }
}

// "a b" becomes U+2581 a U+2581 b, and back.
json normalizer() {
  json prepend = {{"type", "Prepend"}, {"prepend", space}};
  json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space}};
  return {{"type", "Sequence"}, {"normalizers", json::array({prepend, replace})}};
}
json decoder() {
  json replace = {{"type", "Replace"}, {"pattern", {{"String", space}}}, {"content", " "}};
  json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  json bytes = {{"type", "ByteFallback"}}, fuse = {{"type", "Fuse"}};
  return {{"type", "Sequence"}, {"decoders", json::array({replace, bytes, fuse, strip})}};
}

}  // namespace

SentencepieceTokenizer::SentencepieceTokenizer(std::vector<std::string> vocab, std::vector<Merge> merges)
    : vocab_(std::move(vocab)), merges_(std::move(merges)) {
  for (int32_t id = 0; id < vocab_size(); ++id) {
    const std::string& text = vocab_[static_cast<size_t>(id)];
    if (!ids_.emplace(text, id).second) throw error("token {} comes twice in the vocabulary", shown(text));
    bytes_.push_back(id < specials ? "" : replaced(text, space, " "));
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    std::string spelling = fmt::format("<0x{:02X}>", byte);
    auto at = ids_.find(spelling);
    if (at == ids_.end()) throw error("the vocabulary has no token {} for a byte", spelling);
    byte_ids_[byte] = at->second;
    bytes_[static_cast<size_t>(at->second)] = std::string(1, static_cast<char>(byte));
  }
  for (size_t rank = 0; rank < merges_.size(); ++rank)
    ranks_.emplace(pair_key(merges_[rank].left, merges_[rank].right), rank);
}

// Special tokens written out in the text count as such; what lies between them is encoded piece by piece.
std::vector<int32_t> SentencepieceTokenizer::encode(std::string_view text) const {
  if (auto at = invalid_utf8_at(text)) throw error("the text is not valid UTF-8 at byte {}", *at);
  std::vector<int32_t> tokens;
  while (!text.empty()) {
    size_t begin = text.npos;
    int32_t special = 0;
    for (int32_t id = 0; id < specials; ++id)
      if (size_t at = text.find(vocab_[static_cast<size_t>(id)]); at < begin) begin = at, special = id;
    if (begin != 0) encode_segment(text.substr(0, begin), tokens);
    if (begin == text.npos) break;
    tokens.push_back(special);
    text.remove_prefix(begin + vocab_[static_cast<size_t>(special)].size());
  }
  return tokens;
}

void SentencepieceTokenizer::encode_segment(std::string_view text, std::vector<int32_t>& tokens) const {
  std::string spelled = std::string(space) + replaced(text, " ", space);
  std::vector<int32_t> pieces;
  each_code_point(spelled, [&](int32_t, size_t begin, size_t end) {
    std::string_view character = std::string_view(spelled).substr(begin, end - begin);
    if (auto at = ids_.find(character); at != ids_.end()) return pieces.push_back(at->second);
    for (char byte : character) pieces.push_back(byte_ids_[static_cast<uint8_t>(byte)]);
  });
  merge_best_first(pieces);
  tokens.insert(tokens.end(), pieces.begin(), pieces.end());
}

// The pair of lowest rank first, the leftmost of equals, until no neighbours can be merged.
void SentencepieceTokenizer::merge_best_first(std::vector<int32_t>& tokens) const {
  constexpr int32_t gone = -1;
  size_t n = tokens.size();
  std::vector<size_t> before(n), after(n);
  using Candidate = std::tuple<size_t, size_t, int32_t>;  // rank, left position, merged token
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  auto rank_at = [&](size_t left) {
    return after[left] == n ? ranks_.end() : ranks_.find(pair_key(tokens[left], tokens[after[left]]));
  };
  auto consider = [&](size_t left) {
    if (auto at = rank_at(left); at != ranks_.end())
      queue.emplace(at->second, left, merges_[at->second].merged);
  };
  for (size_t i = 0; i < n; ++i) before[i] = i == 0 ? n : i - 1, after[i] = i + 1;
  for (size_t i = 0; i < n; ++i) consider(i);
  while (!queue.empty()) {
    auto [rank, left, merged] = queue.top();
    queue.pop();
    if (tokens[left] == gone) continue;
    auto now = rank_at(left);
    if (now == ranks_.end() || merges_[now->second].merged != merged) continue;  // a neighbour has changed
    size_t right = after[left];
    tokens[left] = merged;
    tokens[right] = gone;
    after[left] = after[right];
    if (after[left] != n) before[after[left]] = left;
    consider(left);
    if (before[left] != n) consider(before[left]);
  }
  std::erase(tokens, gone);
}

std::string_view SentencepieceTokenizer::bytes_of(int32_t token) const {
  return token < 0 || token >= vocab_size() ? std::string_view{} : bytes_[static_cast<size_t>(token)];
}

std::string SentencepieceTokenizer::to_json() const {
  json file = bpe_skeleton(vocab_);
  for (int32_t id = 0; id < specials; ++id)
    file["added_tokens"].push_back(special_token(id, vocab_[static_cast<size_t>(id)]));
  file["normalizer"] = normalizer();
  file["decoder"] = decoder();
  const std::string& bos_text = vocab_[1];
  json bos_piece = {{"SpecialToken", {{"id", bos_text}, {"type_id", 0}}}};
  json second_bos = {{"SpecialToken", {{"id", bos_text}, {"type_id", 1}}}};
  auto sequence = [](const char* id, int type) {
    return json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  file["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", json::array({bos_piece, sequence("A", 0)})},
      {"pair", json::array({bos_piece, sequence("A", 0), second_bos, sequence("B", 1)})},
      {"special_tokens",
       {{bos_text, {{"id", bos_text}, {"ids", json::array({1})}, {"tokens", json::array({bos_text})}}}}}};
  json& model = file["model"];
  model["unk_token"] = vocab_[0];
  model["fuse_unk"] = model["byte_fallback"] = true;
  for (const Merge& merge : merges_)
    model["merges"].push_back(fmt::format("{} {}", vocab_[static_cast<size_t>(merge.left)],
                                          vocab_[static_cast<size_t>(merge.right)]));
  return file.dump(2) + "\n";
}

std::unique_ptr<Tokenizer> read_sentencepiece_tokenizer(const json& file, std::string_view source) {
  const json& model = member(file, "model");
  if (type_of(file, "model") != "BPE" || member(model, "byte_fallback") != true ||
      member(file, "normalizer") != normalizer() || !member(file, "pre_tokenizer").is_null() ||
      member(file, "decoder") != decoder())
    return nullptr;
  std::vector<std::string> vocab = read_vocab(file, source);
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t id = 0; id < vocab.size(); ++id) ids.emplace(vocab[id], static_cast<int32_t>(id));
  auto added = read_specials(file, vocab, source);
  bool first_three = added.size() == SentencepieceTokenizer::specials;
  for (size_t i = 0; first_three && i < added.size(); ++i)
    first_three = added[i].first == static_cast<int32_t>(i);
  if (!first_three)
    throw error("{}: special tokens must be the ids 0, 1 and 2: unknown, bos and eos", source);

  std::vector<SentencepieceTokenizer::Merge> merges;
  for (const json& merge : member(model, "merges")) {
    std::string left, right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    } else if (merge.is_string()) {
      std::string both = merge.get<std::string>();
      size_t gap = both.find(' ');
      left = both.substr(0, gap), right = gap == both.npos ? "" : both.substr(gap + 1);
    }
    auto l = ids.find(left), r = ids.find(right), whole = ids.find(left + right);
    if (l == ids.end() || r == ids.end() || whole == ids.end())
      throw error("{}: merge {} joins what is not in the vocabulary", source, shown(merge.dump()));
    merges.push_back({l->second, r->second, whole->second});
  }
  try {
    return std::make_unique<SentencepieceTokenizer>(std::move(vocab), std::move(merges));
  } catch (const Error& failed) {
    throw error("{}: {}", source, failed.what());
  }
}

}  // namespace tessera
