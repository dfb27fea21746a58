// Layers.
// SPDX-License-Identifier: Apache-2.0
#include "models/layers/layers.hpp"

#include "codelets/add/add.hpp"
#include "codelets/embedding/embedding.hpp"
#include "codelets/kv_cache/kv_cache.hpp"

namespace tessera {

Linear::Linear(const Scope& scope, const Options& options)
    : scope_(scope), weight_(scope.parameter("weight", {options.out, options.in}, {.std = options.std})) {
  if (options.bias) bias_ = scope.parameter("bias", {options.out}, {});
}

Tensor Linear::operator()(Tensor x) const {
  const Tensor y = matmul(x, scope_.used(weight_), {.transpose_b = true});
  return bias_ ? add(y, bias_) : y;
}

Embedding::Embedding(const Scope& scope, Dim entries, int64_t width, float std)
    : scope_(scope), weight_(scope.parameter("weight", {std::move(entries), width}, {.std = std})) {}

Tensor Embedding::operator()(Tensor ids) const { return embedding(scope_.used(weight_), ids); }
Tensor Embedding::logits(Tensor x) const { return matmul(x, scope_.used(weight_), {.transpose_b = true}); }

LayerNorm::LayerNorm(const Scope& scope, int64_t width, bool bias, double eps)
    : gamma_(scope.parameter("weight", {width}, {.mean = 1})), eps_(static_cast<float>(eps)) {
  if (bias) beta_ = scope.parameter("bias", {width}, {});
}

RmsNorm::RmsNorm(const Scope& scope, int64_t width, double eps)
    : gamma_(scope.parameter("weight", {width}, {.mean = 1})), eps_(static_cast<float>(eps)) {}

Tensor attend(Tensor qkv, const Heads& heads, const Context& context, const std::string& name) {
  Graph& graph = *qkv.graph;
  if (!context.cached())
    return attention(qkv, context.starts, context.rng,
                     {.heads = heads.count,
                      .kv_heads = heads.kv_count,
                      .head_dim = heads.head_dim,
                      .causal = heads.causal,
                      .seq = context.seq,
                      .aligned = context.aligned,
                      .dropout = context.dropout,
                      .stream = static_cast<uint32_t>(graph.nodes().size())});
  auto cache = [&](const char* what) {
    const std::string full = "cache/" + name + "/" + what;
    const Tensor known = graph.find(full);
    return known ? known
                 : graph.variable(full, {context.cache_rows, heads.cached()},
                                  context.cache_dtype.value_or(qkv.dtype()));
  };
  const PagedAttentionOptions options{.heads = heads.count,
                                      .kv_heads = heads.kv_count,
                                      .head_dim = heads.head_dim,
                                      .block_size = context.block_size};
  const KvCache filled = kv_append({cache("keys"), cache("values")}, qkv, context.slots, options);
  return paged_attention({qkv, filled, context.block_table, context.sequence, context.positions}, options);
}

}  // namespace tessera
