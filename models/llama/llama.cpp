// LLaMA.
// SPDX-License-Identifier: Apache-2.0
#include "models/llama/llama.hpp"

#include "codelets/add/add.hpp"
#include "codelets/rope/rope.hpp"
#include "codelets/silu_mul/silu_mul.hpp"

namespace tessera {
namespace {

Heads heads_of(const ModelConfig& c) {
  return {.count = c.heads, .kv_count = c.kv_heads, .head_dim = c.head_dim()};
}

}  // namespace

LlamaBlock::LlamaBlock(const Scope& scope, const ModelConfig& c)
    : name_(scope.name()),
      theta_(c.rope_theta),
      heads_(heads_of(c)),
      norm1_(scope / "norm1", c.width, c.norm_eps),
      norm2_(scope / "norm2", c.width, c.norm_eps),
      qkv_(scope / "qkv",
           {.in = c.width, .out = heads_.fused(), .bias = c.bias, .std = static_cast<float>(c.init_std)}),
      proj_(scope / "proj",
            {.in = heads_.joined(), .out = c.width, .bias = c.bias, .std = static_cast<float>(c.init_std)}),
      gate_(scope / "gate",
            {.in = c.width, .out = Dim("ffn", c.ffn), .bias = c.bias, .std = static_cast<float>(c.init_std)}),
      up_(scope / "up",
          {.in = c.width, .out = Dim("ffn", c.ffn), .bias = c.bias, .std = static_cast<float>(c.init_std)}),
      down_(
          scope / "down",
          {.in = Dim("ffn", c.ffn), .out = c.width, .bias = c.bias, .std = static_cast<float>(c.init_std)}) {}

Tensor LlamaBlock::operator()(Tensor x, const Context& context) const {
  const Graph::Scope block(*x.graph, name_);
  {
    const Graph::Scope part(*x.graph, "attention");
    const RopeOptions turn{
        .heads = heads_.count, .kv_heads = heads_.kv_count, .head_dim = heads_.head_dim, .theta = theta_};
    const Tensor qkv = rope(qkv_(norm1_(x)), context.positions, turn);
    x = add(proj_(attend(qkv, heads_, context, name_)), x);
  }
  const Graph::Scope part(*x.graph, "ffn");
  const Tensor normed = norm2_(x);
  return add(down_(silu_mul(gate_(normed), up_(normed))), x);
}

Llama::Llama(ModelParts& parts, const ModelConfig& c)
    : tokens_(Scope(parts, "tokens"), Dim("vocab", c.vocab), c.width, static_cast<float>(c.init_std)),
      norm_(Scope(parts, "norm"), c.width, c.norm_eps) {
  for (int64_t i = 0; i < c.layers; ++i) blocks_.emplace_back(Scope(parts, "block" + std::to_string(i)), c);
  if (!c.tied)
    head_.emplace(Scope(parts, "head"), Linear::Options{.in = c.width,
                                                        .out = Dim("vocab", c.vocab),
                                                        .bias = false,
                                                        .std = static_cast<float>(c.init_std)});
}

Tensor Llama::operator()(Tensor tokens, const Context& context) const {
  Tensor x;
  {
    const Graph::Scope part(*tokens.graph, "embedding");
    x = tokens_(tokens);
  }
  for (const LlamaBlock& block : blocks_) x = block(x, context);
  return norm_(x);
}

Tensor Llama::logits(Tensor hidden) const {
  const Graph::Scope part(*hidden.graph, "head");
  return head_ ? (*head_)(hidden) : tokens_.logits(hidden);
}

}  // namespace tessera
