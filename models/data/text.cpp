// Reading text files and cutting windows out of their tokens.
// SPDX-License-Identifier: Apache-2.0
#include "models/data/text.hpp"

#include "models/data/streams.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

// A sequence of the batch: the window's tokens, each labelled with the one after it.
void put_window(Batch& batch, int64_t start, const int32_t* window, int64_t seq) {
  for (int64_t i = 0; i < seq; ++i) batch.set(start + i, start, window[i], window[i + 1]);
}

void check_length(const std::vector<int32_t>& tokens, int64_t seq) {
  if (static_cast<int64_t>(tokens.size()) <= seq)
    throw error("the text has {} tokens, a sequence of seq = {} needs {}; shorten seq or take a longer text",
                tokens.size(), seq, seq + 1);
}

}  // namespace

std::string read_text(const std::filesystem::path& file) {
  std::string text = read_file(file);
  if (text.empty()) throw error("{}: is empty; name a file with text in it", file.string());
  if (auto at = invalid_utf8_at(text))
    throw error("{}: is not valid UTF-8 at byte {}; convert it to UTF-8", file.string(), *at);
  return text;
}

std::vector<int32_t> read_tokens(const std::filesystem::path& file, const Tokenizer& tokenizer) {
  std::string text = read_text(file);
  try {
    return tokenizer.encode(text);
  } catch (const Error& failed) {
    throw error("{}: {}", file.string(), failed.what());
  }
}

RandomWindows::RandomWindows(std::vector<int32_t> tokens, const LoaderOptions& options)
    : tokens_(std::move(tokens)), options_(options) {
  check_length(tokens_, options_.seq);
}

Batch RandomWindows::at(int64_t index) const {
  Batch batch(options_.batch * options_.seq);
  PhiloxKey key = philox_key(static_cast<uint64_t>(options_.seed));
  uint64_t places = tokens_.size() - static_cast<size_t>(options_.seq);
  for (int64_t i = 0; i < options_.batch; ++i) {
    PhiloxCounter random = draw(DataStream::windows, index * options_.batch + i, 0, key);
    put_window(batch, i * options_.seq, tokens_.data() + draw_below(places, random[0], random[1]),
               options_.seq);
  }
  return batch;
}

SequentialWindows::SequentialWindows(std::vector<int32_t> tokens, const LoaderOptions& options)
    : tokens_(std::move(tokens)), options_(options) {
  check_length(tokens_, options_.seq);
}

Batch SequentialWindows::at(int64_t index) const {
  Batch batch(options_.batch * options_.seq);
  int64_t first = index * options_.batch, end = std::min(first + options_.batch, windows());
  for (int64_t window = first; window < end; ++window)
    put_window(batch, (window - first) * options_.seq, tokens_.data() + window * options_.seq, options_.seq);
  return batch;
}

}  // namespace tessera
