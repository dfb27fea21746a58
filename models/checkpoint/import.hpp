// Models from elsewhere, written as model folders.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "models/checkpoint/llama2c.hpp"
#include "models/tokenizer/tokenizer.hpp"

namespace tessera {

// The folder is there whole or not at all. Error where it is there already and not empty, where it cannot be
// made, and where the tokenizer (null: none) has other tokens than the model.
void write_model_folder(const std::filesystem::path& folder, const ImportedModel& model,
                        const Tokenizer* tokenizer);

}  // namespace tessera
