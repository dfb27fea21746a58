// Hugging Face's config.json for GPT2LMHeadModel and LlamaForCausalLM, from and to ModelConfig.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "models/config/model_config.hpp"
#include "runtime/core/dtype.hpp"

namespace tessera {

struct HfConfig {
  ModelConfig model;
  DType dtype = DType::f32;  // of the stored weights
  std::optional<int32_t> bos, eos;
  bool operator==(const HfConfig&) const = default;
};

// Throws Error naming file and key: another architecture, a variant not computed here, sizes that cannot be.
HfConfig read_hf_config(const std::filesystem::path& file);
HfConfig parse_hf_config(std::string_view text, std::string_view source);

// GPT-2 there always has biases: a model without them reads back with bias = true and zeros as weights.
std::string hf_config_json(const HfConfig& config);

}  // namespace tessera
