// What a configuration's [data] stands for: a tokenizer, batches to train on and batches to evaluate.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "models/config/config.hpp"
#include "models/data/loader.hpp"
#include "models/tokenizer/tokenizer.hpp"

namespace tessera {

struct Dataset {
  std::unique_ptr<Tokenizer> tokenizer;
  int64_t vocab = 0;                   // the model's: as configured, or else the tokenizer's
  std::unique_ptr<Loader> train;       // endless
  std::unique_ptr<Loader> validation;  // one pass over what training never sees
};

// Error where the data do not fit the configuration: unreadable, too short, more tokens than model.vocab.
Dataset open_dataset(const Config& config);

}  // namespace tessera
