// llama2.c's tok*.bin: int32 longest token, then for each a float score, an int32 length and the bytes.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "models/tokenizer/sentencepiece_tokenizer.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

constexpr int32_t first_piece = SentencepieceTokenizer::specials + 256;

struct Pieces {
  std::vector<std::string> texts;
  std::vector<float> scores;
};

template <class T>
T take(std::string_view& bytes, std::string_view source) {
  T value;
  if (bytes.size() < sizeof value) throw error("{}: is truncated, no tokenizer of llama2.c", source);
  std::memcpy(&value, bytes.data(), sizeof value);  // NOLINT(bugprone-suspicious-stringview-data-usage)
  bytes.remove_prefix(sizeof value);
  return value;
}

// A space is spelled U+2581 in the vocabulary, and the file's "\n<s>\n" is the usual <s>.
std::string spelling(std::string_view text, size_t id) {
  constexpr std::string_view names[] = {"<unk>", "<s>", "</s>"};
  if (id < std::size(names)) return std::string(names[id]);
  std::string out;
  for (char c : text)
    if (c == ' ')
      out += "\xe2\x96\x81";
    else
      out += c;
  return out;
}

Pieces read_pieces(std::string_view bytes, std::string_view source) {
  Pieces pieces;
  int32_t longest = take<int32_t>(bytes, source);
  while (!bytes.empty()) {
    size_t id = pieces.texts.size();
    float score = take<float>(bytes, source);
    int32_t length = take<int32_t>(bytes, source);
    if (length < 1 || length > std::max(longest, 64) || static_cast<size_t>(length) > bytes.size())
      throw error("{}: token {} is said to be {} bytes long; truncated, or no tokenizer of llama2.c", source,
                  id, length);
    std::string_view text = bytes.substr(0, static_cast<size_t>(length));
    if (!std::isfinite(score) || invalid_utf8_at(text))
      throw error("{}: token {} has a score or bytes that cannot be; no tokenizer of llama2.c", source, id);
    pieces.texts.push_back(spelling(text, id));
    pieces.scores.push_back(score);
    bytes.remove_prefix(static_cast<size_t>(length));
  }
  return pieces;
}

}  // namespace

SentencepieceTokenizer read_llama2c(std::string_view bytes, std::string_view source) {
  Pieces pieces = read_pieces(bytes, source);
  int32_t size = static_cast<int32_t>(pieces.texts.size());
  std::unordered_map<std::string_view, int32_t> ids;
  for (int32_t id = 0; id < size; ++id) ids.emplace(pieces.texts[static_cast<size_t>(id)], id);

  std::vector<SentencepieceTokenizer::Merge> merges;
  for (int32_t id = first_piece; id < size; ++id) {
    std::string_view text = pieces.texts[static_cast<size_t>(id)];
    each_code_point(text, [&](int32_t, size_t begin, size_t) {
      auto left = ids.find(text.substr(0, begin)), right = ids.find(text.substr(begin));
      if (begin > 0 && left != ids.end() && right != ids.end())
        merges.push_back({left->second, right->second, id});
    });
  }
  std::ranges::stable_sort(merges, std::greater<>(), [&](const SentencepieceTokenizer::Merge& merge) {
    return pieces.scores[static_cast<size_t>(merge.merged)];
  });
  try {
    return SentencepieceTokenizer(std::move(pieces.texts), std::move(merges));
  } catch (const Error& failed) {
    throw error("{}: {}", source, failed.what());
  }
}

}  // namespace tessera
