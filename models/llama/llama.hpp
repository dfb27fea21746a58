// LLaMA (Touvron et al., 2023): RMSNorm, rotary positions, SwiGLU and grouped-query attention.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "models/config/model_config.hpp"
#include "models/layers/layers.hpp"

namespace tessera {

// x + attention(norm(x)), then x + down(silu(gate(norm(x))) · up(norm(x))).
class LlamaBlock {
 public:
  LlamaBlock(const Scope& scope, const ModelConfig& config);
  Tensor operator()(Tensor x, const Context& context) const;  // [rows, width] -> the same

 private:
  std::string name_;
  double theta_;
  Heads heads_;
  RmsNorm norm1_, norm2_;
  Linear qkv_, proj_, gate_, up_, down_;
};

class Llama {
 public:
  Llama(ModelParts& parts, const ModelConfig& config);
  Tensor operator()(Tensor tokens, const Context& context) const;  // i32 [rows] -> the last hidden states
  Tensor logits(Tensor hidden) const;                              // [rows, width] -> [rows, vocab]

 private:
  Embedding tokens_;
  std::vector<LlamaBlock> blocks_;
  RmsNorm norm_;
  std::optional<Linear> head_;  // without one, the token table is the head
};

}  // namespace tessera
