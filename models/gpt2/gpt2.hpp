// GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "models/config/model_config.hpp"
#include "models/layers/layers.hpp"

namespace tessera {

// x + attention(norm(x)), then x + feed_forward(norm(x)).
class Gpt2Block {
 public:
  Gpt2Block(const Scope& scope, const ModelConfig& config);
  Tensor operator()(Tensor x, const Context& context) const;  // [rows, width] -> the same

 private:
  std::string name_;
  ActivationKind activation_;
  Heads heads_;
  LayerNorm norm1_, norm2_;
  Linear qkv_, proj_, up_, down_;
};

class Gpt2 {
 public:
  Gpt2(ModelParts& parts, const ModelConfig& config);
  Tensor operator()(Tensor tokens, const Context& context) const;  // i32 [rows] -> the last hidden states
  Tensor logits(Tensor hidden) const;                              // [rows, width] -> [rows, vocab]

 private:
  Embedding tokens_, positions_;
  std::vector<Gpt2Block> blocks_;
  LayerNorm norm_;
  std::optional<Linear> head_;  // without one, the token table is the head
};

}  // namespace tessera
