// Finding out of which kind a tokenizer file is; decoding as a stream.
// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer/tokenizer.hpp"

#include "models/checkpoint/json.hpp"
#include "models/tokenizer/sentencepiece_tokenizer.hpp"
#include "models/tokenizer/tokenizer_json.hpp"
#include "models/tokenizer/utf8.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

using nlohmann::json;

// Stands for a file that says what it is, but of a kind that is not read.
class UnreadTokenizer final : public Tokenizer {
 public:
  UnreadTokenizer(std::string_view source, std::string_view kind)
      : complaint_(fmt::format("{}: tokenizers of the kind {} are not read; give token ids instead of text "
                               "(--prompt-ids), or use a character, byte or llama2.c tokenizer",
                               source, kind)) {}

  std::vector<int32_t> encode(std::string_view) const override { throw Error(complaint_); }
  std::string_view bytes_of(int32_t) const override { throw Error(complaint_); }
  int32_t vocab_size() const override { throw Error(complaint_); }
  std::string to_json() const override { throw Error(complaint_); }
  bool reads_text() const override { return false; }

 private:
  std::string complaint_;
};

// "BPE with pre-tokenizer ByteLevel"
std::string kind_of(const json& file) {
  std::string kind = type_of(file, "model");
  if (kind.empty()) kind = "(unnamed)";
  for (std::string_view part : {"normalizer", "pre_tokenizer"})
    if (std::string type = type_of(file, part); !type.empty()) kind += fmt::format(" with {} {}", part, type);
  return shown(kind);
}

}  // namespace

std::unique_ptr<Tokenizer> parse_tokenizer(std::string_view text, std::string_view source) {
  json file = parse_json(text, source);
  if (!member(file, "model").is_object()) throw error("{}: is no tokenizer.json, it has no model", source);
  for (auto* read : {read_char_tokenizer, read_byte_tokenizer, read_sentencepiece_tokenizer})
    if (auto tokenizer = read(file, source)) return tokenizer;
  return std::make_unique<UnreadTokenizer>(source, kind_of(file));
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& file) {
  std::string bytes = read_file(file, 256 << 20);
  if (bytes.empty()) throw error("{}: is empty, a tokenizer is needed", file.string());
  if (file.extension() == ".bin")
    return std::make_unique<SentencepieceTokenizer>(read_llama2c(bytes, file.string()));
  return parse_tokenizer(bytes, file.string());
}

void save_tokenizer(const std::filesystem::path& folder, const Tokenizer& tokenizer) {
  std::string text = tokenizer.to_json();
  json file = json::parse(text);
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  for (const json& token : file["added_tokens"]) {
    if (token["id"] == tokenizer.bos()) config["bos_token"] = token["content"];
    if (token["id"] == tokenizer.eos()) config["eos_token"] = token["content"];
  }
  write_file(folder / "tokenizer.json", text);
  write_file(folder / "tokenizer_config.json", config.dump(2) + "\n");
}

std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> tokens = tokenizer.encode(text);
  if (auto bos = tokenizer.bos()) tokens.insert(tokens.begin(), *bos);
  return tokens;
}

std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  TextStream stream(tokenizer);
  std::string text;
  for (int32_t token : tokens) text += stream.next(token);
  return text + stream.end();
}

std::string TextStream::next(int32_t token) {
  std::string_view bytes = tokenizer_.bytes_of(token);
  if (!started_ && !bytes.empty()) {
    started_ = true;
    if (tokenizer_.drops_first_space() && bytes.front() == ' ') bytes.remove_prefix(1);
  }
  pending_ += bytes;
  auto* at = reinterpret_cast<const uint8_t*>(pending_.data());
  size_t whole = pending_.size();
  U8_TRUNCATE_IF_INCOMPLETE(at, 0, whole);
  std::string unfinished = pending_.substr(whole);
  pending_.resize(whole);
  std::string text = end();
  pending_ = std::move(unfinished);
  return text;
}

std::string TextStream::end() {
  std::string text;
  each_code_point(pending_, [&](int32_t c, size_t begin, size_t end) {
    text += c < 0 ? replacement_character : std::string_view(pending_).substr(begin, end - begin);
  });
  pending_.clear();
  return text;
}

}  // namespace tessera
