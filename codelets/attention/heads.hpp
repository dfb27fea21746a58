// The fused layout of queries, keys and values that attention, rope and the key/value cache share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/core/shape.hpp"
#include "runtime/core/tiling.hpp"

namespace tessera {

// Columns of qkv, for every key/value head: its `group()` query heads, then the key, then the value.
struct HeadLayout {
  int64_t heads = 1, kv_heads = 1, head_dim = 64;

  int64_t group() const { return heads / kv_heads; }  // query heads that share a key
  int64_t qkv_unit() const { return (group() + 2) * head_dim; }
  int64_t out_unit() const { return group() * head_dim; }
  int64_t key_at() const { return group() * head_dim; }  // within a unit
  int64_t value_at() const { return (group() + 1) * head_dim; }

  Dim qkv_dim() const { return {"heads", kv_heads * qkv_unit(), qkv_unit()}; }
  Dim out_dim() const { return {"heads", heads * head_dim, out_unit()}; }
  Dim cache_dim() const { return {"heads", kv_heads * head_dim, head_dim}; }
  Dim per_head_dim() const { return {"heads", heads, group()}; }

  // Throws Error, naming `op`, where the counts or the width of qkv do not fit.
  void check(std::string_view op, const TensorType& qkv) const;
};

// The same cuts of an axis whose unit is `to` elements instead of `from`.
Cuts rescale(const Cuts& cuts, int64_t from, int64_t to);

}  // namespace tessera
