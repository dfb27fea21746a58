// Keys and values of sequences that are being generated: a cache in blocks, and attention through its block
// table.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/graph/graph.hpp"

namespace tessera {

// The cache's tensors. A sequence's position p lies in row table[sequence, p / block_size] · block_size + p
// mod block_size (Kwon et al., PagedAttention, 2023).
struct KvCache {
  Tensor k, v;
};

struct PagedAttentionOptions {
  int64_t heads = 1, kv_heads = 0, head_dim = 64;  // kv_heads 0: as many as heads
  int64_t block_size = 16;
};

// cache.k[slots[r]] and cache.v[slots[r]] = the key and value of row r of qkv (attention's fused layout), in
// place; slots i32 [rows], -1: the row is not kept. cache: [blocks · block_size, kv_heads · head_dim], in
// f32, bf16 or f16, whatever qkv is in: it is rounded when it is kept, to nearest even.
KvCache kv_append(KvCache cache, Tensor qkv, Tensor slots, const PagedAttentionOptions& options);

// Row r of o [rows, heads · head_dim] attends to the positions 0 … positions[r] of sequence[r], which is a
// row of block_table i32 [sequences, max_blocks]; -1 is a padding row, whose o is 0. sequence, positions: i32
// [rows].
struct PagedAttentionInputs {
  Tensor qkv;
  KvCache cache;
  Tensor block_table, sequence, positions;
};
Tensor paged_attention(const PagedAttentionInputs& in, const PagedAttentionOptions& options);

}  // namespace tessera
