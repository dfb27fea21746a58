// A language model of any kind, by its configuration.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <variant>

#include "models/gpt2/gpt2.hpp"
#include "models/llama/llama.hpp"

namespace tessera {

class LanguageModel {
 public:
  LanguageModel(ModelParts& parts, const ModelConfig& config)
      : model_(config.kind == ModelKind::llama ? Model(std::in_place_type<Llama>, parts, config)
                                               : Model(std::in_place_type<Gpt2>, parts, config)) {}

  // i32 [rows] -> [rows, width]
  Tensor hidden(Tensor tokens, const Context& context) const {
    return std::visit([&](const auto& model) { return model(tokens, context); }, model_);
  }
  // [rows, width] -> [rows, vocab]
  Tensor logits(Tensor hidden_states) const {
    return std::visit([&](const auto& model) { return model.logits(hidden_states); }, model_);
  }

 private:
  using Model = std::variant<Gpt2, Llama>;
  Model model_;
};

}  // namespace tessera
