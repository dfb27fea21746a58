// The attributes that attention's kernels read, and the order of their tiles.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attention/attention.hpp"
#include "codelets/attention/heads.hpp"
#include "codelets/uniform.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {

// Two ways to the same end: by oneDNN's products of the storage type, or in f32 by products of our own, which
// waste less on masked keys and small heads. Best is the first for bf16 on CPUs that multiply it themselves.
enum class AttentionWay : uint8_t { best, gemm, strips };

struct AttentionOp : Op {
  AttentionOptions options;
  AttentionWay way;

  explicit AttentionOp(const AttentionOptions& o, AttentionWay w = AttentionWay::best) : options(o), way(w) {
    if (options.kv_heads == 0) options.kv_heads = options.heads;
  }
  HeadLayout layout() const { return {options.heads, options.kv_heads, options.head_dim}; }

  // What dropout draws from; nothing without it.
  Draws draws(const TileView& rng) const {
    if (options.dropout == 0) return {};
    const auto* value = rng.as<const uint32_t>();
    return {value[0], value[1], options.stream};
  }

  // Dropout of the probability of (row, head, the sequence's n-th key) draws for this element plus n. It
  // begins a block of draws.
  uint64_t first_element(int64_t row, int64_t head) const {
    return static_cast<uint64_t>(row * options.heads + head) *
           static_cast<uint64_t>((options.seq + 7) / 8 * 8);
  }
};

// Tiles of `attention`: qkv of the window's row cuts, starts from cut q_begin of the window on, rng with
// dropout, then o and lse of the own cut. `attention_backward`: qkv and starts likewise, then o, lse and d_o
// of the cuts [q_begin, q_end), rng with dropout, then d_qkv of the own cut.
struct AttentionWindow {
  int64_t count = 1, own = 0, q_begin = 0, q_end = 1;

  std::array<int64_t, 4> params() const { return {count, own, q_begin, q_end}; }
  static AttentionWindow of(const std::array<int64_t, 4>& p) { return {p[0], p[1], p[2], p[3]}; }
};

struct Attention final : AttentionOp {
  using AttentionOp::AttentionOp;
  std::string_view name() const override { return "attention"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  std::vector<Tensor> grad(const GradArgs& args) const override;
  void lower(Lowering& to) const override;
  void reference(HostIn in, HostOut out) const override;
};

// in: qkv, starts, o, lse, d_o, then rng with dropout.
struct AttentionBackward final : AttentionOp {
  using AttentionOp::AttentionOp;
  std::string_view name() const override { return "attention_backward"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void lower(Lowering& to) const override;
  void reference(HostIn in, HostOut out) const override;
};

void attention_by_gemm(const TileArgs& args);
void attention_backward_by_gemm(const TileArgs& args);
void attention_by_strips(const TileArgs& args);
void attention_backward_by_strips(const TileArgs& args);

std::vector<Case> attention_cases(DType storage);

}  // namespace tessera
