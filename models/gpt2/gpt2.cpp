// GPT-2.
// SPDX-License-Identifier: Apache-2.0
#include "models/gpt2/gpt2.hpp"

#include <cmath>

#include "codelets/add/add.hpp"
#include "codelets/dropout/dropout.hpp"
#include "codelets/gelu/gelu.hpp"

namespace tessera {
namespace {

Heads heads_of(const ModelConfig& c) {
  return {.count = c.heads, .kv_count = c.kv_heads, .head_dim = c.head_dim()};
}

// Residual projections start smaller, so that their sum over the layers does not grow with depth.
float residual_std(const ModelConfig& c) {
  return static_cast<float>(c.init_std / std::sqrt(2.0 * static_cast<double>(c.layers)));
}

Tensor dropped(Tensor x, const Context& context) {
  if (context.dropout == 0) return x;
  return dropout(x, context.rng,
                 {.p = context.dropout, .stream = static_cast<uint32_t>(x.graph->nodes().size())});
}

}  // namespace

Gpt2Block::Gpt2Block(const Scope& scope, const ModelConfig& c)
    : name_(scope.name()),
      activation_(c.activation),
      heads_(heads_of(c)),
      norm1_(scope / "norm1", c.width, c.bias, c.norm_eps),
      norm2_(scope / "norm2", c.width, c.bias, c.norm_eps),
      qkv_(scope / "qkv",
           {.in = c.width, .out = heads_.fused(), .bias = c.bias, .std = static_cast<float>(c.init_std)}),
      proj_(scope / "proj", {.in = heads_.joined(), .out = c.width, .bias = c.bias, .std = residual_std(c)}),
      up_(scope / "up",
          {.in = c.width, .out = Dim("ffn", c.ffn), .bias = c.bias, .std = static_cast<float>(c.init_std)}),
      down_(scope / "down",
            {.in = Dim("ffn", c.ffn), .out = c.width, .bias = c.bias, .std = residual_std(c)}) {}

Tensor Gpt2Block::operator()(Tensor x, const Context& context) const {
  const Graph::Scope block(*x.graph, name_);
  {
    const Graph::Scope part(*x.graph, "attention");
    x = add(dropped(proj_(attend(qkv_(norm1_(x)), heads_, context, name_)), context), x);
  }
  const Graph::Scope part(*x.graph, "ffn");
  const GeluForm form = activation_ == ActivationKind::gelu ? GeluForm::exact : GeluForm::tanh;
  return add(dropped(down_(gelu(up_(norm2_(x)), form)), context), x);
}

Gpt2::Gpt2(ModelParts& parts, const ModelConfig& c)
    : tokens_(Scope(parts, "tokens"), Dim("vocab", c.vocab), c.width, static_cast<float>(c.init_std)),
      positions_(Scope(parts, "positions"), c.seq, c.width, static_cast<float>(c.init_std)),
      norm_(Scope(parts, "norm"), c.width, c.bias, c.norm_eps) {
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(Scope(parts, "block" + std::to_string(i)), c);
  if (!c.tied)
    head_.emplace(Scope(parts, "head"), Linear::Options{.in = c.width,
                                                        .out = Dim("vocab", c.vocab),
                                                        .bias = false,
                                                        .std = static_cast<float>(c.init_std)});
}

Tensor Gpt2::operator()(Tensor tokens, const Context& context) const {
  Tensor x;
  {
    const Graph::Scope part(*tokens.graph, "embedding");
    x = dropped(add(tokens_(tokens), positions_(context.positions)), context);
  }
  for (const Gpt2Block& block : blocks_) x = block(x, context);
  return norm_(x);
}

Tensor Gpt2::logits(Tensor hidden) const {
  const Graph::Scope part(*hidden.graph, "head");
  return head_ ? (*head_)(hidden) : tokens_.logits(hidden);
}

}  // namespace tessera
