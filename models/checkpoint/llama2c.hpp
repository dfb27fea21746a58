// llama2.c's checkpoints, versions 0 and 1, as LLaMA tensors with Hugging Face's names and layout.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "models/checkpoint/safetensors.hpp"
#include "models/config/model_config.hpp"

namespace tessera {

struct ImportedModel {
  ModelConfig config;
  std::vector<OwnedArray> tensors;  // f32
};

// llama2.c rotates adjacent pairs, Hugging Face halves of a head: rows of q and k are reordered on the way.
// Throws Error where sizes cannot be or the file's length is not exactly what they need.
ImportedModel read_llama2c_checkpoint(const std::filesystem::path& file);
ImportedModel parse_llama2c_checkpoint(std::span<const std::byte> bytes, std::string_view source);

}  // namespace tessera
