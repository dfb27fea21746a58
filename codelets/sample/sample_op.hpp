// The attributes that sample's kernel reads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/sample/sample.hpp"
#include "codelets/uniform.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {

struct Sample final : Op {
  uint32_t stream;

  explicit Sample(uint32_t s) : stream(s) {}
  std::string_view name() const override { return "sample"; }
  std::vector<TensorType> infer(std::span<const TensorType> in) const override;
  void lower(Lowering& to) const override;
  void reference(HostIn in, HostOut out) const override;
};

void sample_cpu(const TileArgs& args);
void sample_gpu(const TileArgs& args, DeviceQueue& queue);

}  // namespace tessera
