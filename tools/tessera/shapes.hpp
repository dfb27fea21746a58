// The models that peers are compared on, by name.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "models/config/config.hpp"

namespace tessera {

struct StepShape {
  std::string_view name;
  std::string_view kind;  // "gpt": GPT-2, tied head; "llama": untied
  int64_t layers, heads, kv_heads, width, ffn, vocab, seq, batch;

  int64_t tokens() const { return batch * seq; }
  // 6 · parameters in matrices · tokens, without embeddings that are only looked up, and 12 · layers · batch
  // · seq² · width for attention, halved since it is causal.
  double flops() const;
};

std::span<const StepShape> step_shapes();
const StepShape& step_shape_named(std::string_view name);  // throws Error on an unknown name

// A training step of it, as the peers' script makes one: AdamW, no clipping.
Config config_of(const StepShape& shape, DType dtype);

}  // namespace tessera
