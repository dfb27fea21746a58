// A token per byte: any text, 256 tokens, ids equal to the bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/tokenizer/tokenizer.hpp"

namespace tessera {

class ByteTokenizer final : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string_view bytes_of(int32_t token) const override;
  int32_t vocab_size() const override { return 256; }
  std::string to_json() const override;
};

}  // namespace tessera
