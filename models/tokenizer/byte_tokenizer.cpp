// Byte tokens, in JSON a byte-level BPE model without merges.
// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer/byte_tokenizer.hpp"

#include <array>

#include "models/tokenizer/tokenizer_json.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

// GPT-2's spelling of bytes: printable ones as themselves, the others as U+0100 and up, in order.
std::vector<std::string> byte_spellings() {
  std::vector<std::string> out;
  int32_t next = 0x100;
  for (int32_t byte = 0; byte < 256; ++byte) {
    bool printable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    out.push_back(utf8_of(printable ? byte : next++));
  }
  return out;
}

constexpr std::array<char, 256> all_bytes = [] {
  std::array<char, 256> bytes{};
  for (size_t i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  return bytes;
}();

}  // namespace

std::vector<int32_t> ByteTokenizer::encode(std::string_view text) const {
  if (auto at = invalid_utf8_at(text)) throw error("the text is not valid UTF-8 at byte {}", *at);
  std::vector<int32_t> tokens;
  tokens.reserve(text.size());
  for (char byte : text) tokens.push_back(static_cast<uint8_t>(byte));
  return tokens;
}

std::string_view ByteTokenizer::bytes_of(int32_t token) const {
  if (token < 0 || token > 255) return {};
  return {&all_bytes[static_cast<size_t>(token)], 1};
}

std::string ByteTokenizer::to_json() const {
  nlohmann::json file = bpe_skeleton(byte_spellings());
  file["pre_tokenizer"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  file["decoder"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  return file.dump(2) + "\n";
}

std::unique_ptr<Tokenizer> read_byte_tokenizer(const nlohmann::json& file, std::string_view source) {
  const nlohmann::json& splitter = member(file, "pre_tokenizer");
  if (type_of(file, "model") != "BPE" || type_of(file, "pre_tokenizer") != "ByteLevel" ||
      member(splitter, "add_prefix_space") != false || !member(file, "normalizer").is_null() ||
      !member(file, "added_tokens").empty() || !member(member(file, "model"), "merges").empty())
    return nullptr;
  if (read_vocab(file, source) != byte_spellings())
    throw error("{}: a byte tokenizer's ids must be the bytes 0 to 255", source);
  return std::make_unique<ByteTokenizer>();
}

}  // namespace tessera
