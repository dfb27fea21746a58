// The attributes that rope's kernel reads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attention/heads.hpp"
#include "codelets/rope/rope.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {

// Its gradient is the same op turning the other way.
struct Rope final : Op {
  RopeOptions options;
  bool inverse;

  explicit Rope(const RopeOptions& o, bool backwards = false) : options(o), inverse(backwards) {
    if (options.kv_heads == 0) options.kv_heads = options.heads;
  }
  HeadLayout layout() const { return {options.heads, options.kv_heads, options.head_dim}; }
  std::string_view name() const override { return inverse ? "rope_backward" : "rope"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  std::vector<Tensor> grad(const GradArgs& args) const override;
  void lower(Lowering& to) const override;
  void reference(HostIn in, HostOut out) const override;
};

void rope_cpu(const TileArgs& args);
void rope_gpu(const TileArgs& args, DeviceQueue& queue);

}  // namespace tessera
