// The ops of the key/value cache, as their kernels know them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attention/heads.hpp"
#include "codelets/kv_cache/kv_cache.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {

struct CacheOp : Op {
  PagedAttentionOptions options;

  explicit CacheOp(const PagedAttentionOptions& o) : options(o) {
    if (options.kv_heads == 0) options.kv_heads = options.heads;
  }
  HeadLayout layout() const { return {options.heads, options.kv_heads, options.head_dim}; }
  void check_caches(const TensorType& k, const TensorType& v) const;
  void check_rows(std::string_view what, const TensorType& indices, const TensorType& qkv) const;
};

// in: cache k, cache v, qkv, slots. A task's tiles: the qkv and the slots of all row cuts, then its tiles of
// k and v.
struct KvAppend final : CacheOp {
  using CacheOp::CacheOp;
  std::string_view name() const override { return "kv_append"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void lower(Lowering& to) const override;
  void reference(HostIn in, HostOut out) const override;
  int alias(int output) const override { return output; }
};

// in: qkv, cache k, cache v, block table, sequence, positions. A task's tiles: qkv, block table, sequence,
// positions, all row cuts of k, then of v, and o.
struct PagedAttention final : CacheOp {
  using CacheOp::CacheOp;
  std::string_view name() const override { return "paged_attention"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void lower(Lowering& to) const override;
  void reference(HostIn in, HostOut out) const override;
};

void kv_append_cpu(const TileArgs& args);
void paged_attention_cpu(const TileArgs& args);
std::vector<Case> kv_cache_cases(DType storage);

}  // namespace tessera
