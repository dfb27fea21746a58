// The sizes and choices that define a model, whatever file they were read from.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tessera {

enum class ModelKind : uint8_t { gpt2, llama };
enum class ActivationKind : uint8_t { gelu, gelu_tanh, silu };

inline constexpr std::array<std::pair<std::string_view, ModelKind>, 2> model_kinds{
    {{"gpt2", ModelKind::gpt2}, {"llama", ModelKind::llama}}};
inline constexpr std::array<std::pair<std::string_view, ActivationKind>, 3> activations{
    {{"gelu", ActivationKind::gelu},
     {"gelu_tanh", ActivationKind::gelu_tanh},
     {"silu", ActivationKind::silu}}};

struct ModelConfig {
  ModelKind kind = ModelKind::gpt2;
  int64_t layers = 0, heads = 0, kv_heads = 0, width = 0, ffn = 0;
  int64_t vocab = 0;  // 0: as many as the tokenizer has
  int64_t seq = 0;    // positions; in training also the length of a sequence
  bool bias = true;   // in linear layers and, for gpt2, in its layer norms
  ActivationKind activation = ActivationKind::gelu_tanh;
  bool tied = true;  // the head shares the token embedding
  double norm_eps = 1e-5;
  double rope_theta = 10000;  // llama only
  double init_std = 0.02;     // residual projections start at init_std / sqrt(2 layers)

  int64_t head_dim() const { return width / heads; }
  bool operator==(const ModelConfig&) const = default;
};

// The defaults of a kind: llama has no biases, an untied head and silu.
ModelConfig default_model(ModelKind kind);
// Feed-forward width where none is given: 4 width for gpt2, 8/3 width rounded up to 64 for llama.
int64_t default_ffn(ModelKind kind, int64_t width);

struct ConfigProblem {
  std::string_view key;  // a member of ModelConfig
  std::string reason;    // "130 is not divisible by heads = 4; ..."
};

// The first thing that makes the model impossible, absurd or unknown here.
std::optional<ConfigProblem> find_problem(const ModelConfig& model);

}  // namespace tessera
