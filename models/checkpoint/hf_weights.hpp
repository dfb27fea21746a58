// How our parameters map to the tensors of Hugging Face's GPT2LMHeadModel and LlamaForCausalLM.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/config/model_config.hpp"
#include "runtime/exec/session.hpp"

namespace tessera {

// One parameter and where it stands in a model folder.
struct HfWeight {
  enum class Layout : uint8_t {
    same,        // as it is
    transposed,  // [in, out] there
    fused,   // queries, keys and values head by head here; there one after the other, in one tensor or three
    absent,  // a bias that this model does not have: zeros there
  };

  std::string variable;
  std::vector<std::string> names;            // there
  std::vector<std::vector<int64_t>> shapes;  // there
  Layout layout = Layout::same;
  bool transposed = false;  // of a fused one
};

std::vector<HfWeight> hf_weights(const ModelConfig& config);

// Writes model.safetensors. Parameters are f32; `dtype` is what they are stored as.
void save_weights(const std::filesystem::path& folder, const ModelConfig& config, Session& session,
                  DType dtype = DType::f32);
// Throws Error unless a folder holds all weights of such a model; reads none of them.
void check_weights(const std::filesystem::path& folder, const ModelConfig& config);
// Reads a folder's weights, whole or in shards, f32, bf16 or f16, into the session's variables.
void load_weights(const std::filesystem::path& folder, const ModelConfig& config, Session& session);

}  // namespace tessera
