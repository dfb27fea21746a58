// Text to token ids and back, kept in tokenizer.json files that Hugging Face's `tokenizers` reads alike.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of the text alone, without bos or eos. Error where it is no UTF-8 or has no tokens for it.
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;
  // What a token adds to a text; nothing for special tokens and for ids beyond the vocabulary.
  virtual std::string_view bytes_of(int32_t token) const = 0;
  virtual int32_t vocab_size() const = 0;
  virtual std::string to_json() const = 0;

  virtual std::optional<int32_t> bos() const { return std::nullopt; }
  virtual std::optional<int32_t> eos() const { return std::nullopt; }
  // SentencePiece puts a space before every text, which decoding takes away again.
  virtual bool drops_first_space() const { return false; }
  // False for a tokenizer file of a kind not read yet: the calls above throw an Error that names the kind.
  virtual bool reads_text() const { return true; }
};

// A tokenizer.json, or a llama2.c tok*.bin. A kind not read yet is no error until text is asked for.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& file);
std::unique_ptr<Tokenizer> parse_tokenizer(std::string_view json, std::string_view source);

// Writes tokenizer.json, and tokenizer_config.json for `AutoTokenizer`, into a model folder.
void save_tokenizer(const std::filesystem::path& folder, const Tokenizer& tokenizer);

// bos, where the tokenizer has one, and then the text.
std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, std::string_view text);
std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

// Decodes token by token: gives out whole UTF-8 characters only, invalid bytes as U+FFFD.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::string next(int32_t token);  // the text that is certain now
  std::string end();                // what an unfinished character left

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
  bool started_ = false;
};

}  // namespace tessera
