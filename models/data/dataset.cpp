// Building tokenizer and loaders from a configuration.
// SPDX-License-Identifier: Apache-2.0
#include "models/data/dataset.hpp"

#include "models/data/addition.hpp"
#include "models/data/text.hpp"
#include "models/tokenizer/byte_tokenizer.hpp"
#include "models/tokenizer/char_tokenizer.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

constexpr int64_t validation_sums = 1000;

std::unique_ptr<Tokenizer> tokenizer_for(const DataConfig& data) {
  if (data.tokenizer == "byte") return std::make_unique<ByteTokenizer>();
  if (data.tokenizer == "char")
    return std::make_unique<CharTokenizer>(CharTokenizer::of(read_text(data.path)));
  return load_tokenizer(data.tokenizer);
}

void open_text(const DataConfig& data, const LoaderOptions& options, Dataset& set) {
  set.tokenizer = tokenizer_for(data);
  std::vector<int32_t> tokens = read_tokens(data.path, *set.tokenizer);
  auto cut = tokens.begin() + static_cast<int64_t>(0.9 * static_cast<double>(tokens.size()));
  std::vector<int32_t> rest(cut, tokens.end());
  tokens.erase(cut, tokens.end());
  try {
    set.train = std::make_unique<RandomWindows>(std::move(tokens), options);
    set.validation = std::make_unique<SequentialWindows>(std::move(rest), options);
  } catch (const Error& failed) {
    throw error("{}: {} (90 % of it is for training, 10 % for validation)", data.path, failed.what());
  }
}

void open_addition(const DataConfig& data, const LoaderOptions& options, Dataset& set) {
  Addition addition(data.digits, data.held_out);
  set.tokenizer = std::make_unique<CharTokenizer>(Addition::tokenizer());
  set.train = addition_training(addition, options);
  set.validation = addition_batches(addition, addition.held_out_sums(validation_sums), options);
}

}  // namespace

Dataset open_dataset(const Config& config) {
  LoaderOptions options{.batch = config.train.batch, .seq = config.model.seq, .seed = config.train.seed};
  Dataset set;
  if (config.data.kind == DataKind::text)
    open_text(config.data, options, set);
  else
    open_addition(config.data, options, set);
  int64_t tokens = set.tokenizer->vocab_size();
  set.vocab = config.model.vocab > 0 ? config.model.vocab : tokens;
  if (set.vocab < tokens)
    throw error("[model] vocab: {} is fewer than the {} tokens of the data's tokenizer; leave it out to fit",
                set.vocab, tokens);
  return set;
}

}  // namespace tessera
