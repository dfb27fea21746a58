// Layers: linear maps, norms, and attention that sees packed sequences or a paged cache.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "codelets/attention/attention.hpp"
#include "codelets/layer_norm/layer_norm.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/rms_norm/rms_norm.hpp"
#include "models/layers/scope.hpp"

namespace tessera {

// y = x Wᵀ + b; W: [out, in].
class Linear {
 public:
  struct Options {
    Dim in, out;
    bool bias = true;
    float std = 0.02f;
  };

  Linear(const Scope& scope, const Options& options);
  Tensor operator()(Tensor x) const;  // [rows, in] -> [rows, out]

 private:
  Scope scope_;
  Tensor weight_, bias_;
};

// A table of vectors: of tokens, of positions; also the output head of a model that ties the two.
class Embedding {
 public:
  Embedding(const Scope& scope, Dim entries, int64_t width, float std);
  Tensor operator()(Tensor ids) const;  // i32 [rows] -> [rows, width]
  Tensor logits(Tensor x) const;        // [rows, width] -> [rows, entries]

 private:
  Scope scope_;
  Tensor weight_;
};

class LayerNorm {
 public:
  LayerNorm(const Scope& scope, int64_t width, bool bias, double eps);
  Tensor operator()(Tensor x) const { return layer_norm(x, gamma_, beta_, eps_); }

 private:
  Tensor gamma_, beta_;
  float eps_;
};

class RmsNorm {
 public:
  RmsNorm(const Scope& scope, int64_t width, double eps);
  Tensor operator()(Tensor x) const { return rms_norm(x, gamma_, eps_); }

 private:
  Tensor gamma_;
  float eps_;
};

// How a model's rows relate: whole sequences packed in rows, or new rows of sequences whose past is in a
// paged cache.
struct Context {
  Tensor positions;  // i32 [rows]
  Tensor rng = {};   // i32 [2] = {seed, step}; empty without dropout
  float dropout = 0;

  // Packed sequences.
  Tensor starts = {};   // i32 [rows]: the first row of the row's sequence, -1 for padding
  int64_t seq = 0;      // the longest sequence
  bool aligned = true;  // sequences begin at multiples of seq

  // A paged cache, where block_table is given.
  Tensor block_table = {};  // i32 [sequences, blocks of a sequence]
  Tensor sequence = {};     // i32 [rows]; -1: padding
  Tensor slots = {};        // i32 [rows]: where the row's key and value go in the cache
  int64_t cache_rows = 0, block_size = 0;
  std::optional<DType> cache_dtype = {};  // empty: as queries, keys and values are computed

  bool cached() const { return static_cast<bool>(block_table); }
};

struct Heads {
  int64_t count = 1, kv_count = 1, head_dim = 64;
  bool causal = true;

  // Columns of queries, keys and values together, key/value head by key/value head; and of the result.
  Dim fused() const {
    return {"heads", (count + 2 * kv_count) * head_dim, (count / kv_count + 2) * head_dim};
  }
  Dim joined() const { return {"heads", count * head_dim, count / kv_count * head_dim}; }
  Dim cached() const { return {"heads", kv_count * head_dim, head_dim}; }
};

// Attention over fused queries, keys and values; `name` names the layer's cache.
Tensor attend(Tensor qkv, const Heads& heads, const Context& context, const std::string& name);

}  // namespace tessera
