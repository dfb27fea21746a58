// Their sizes, flops, configurations and batches.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/shapes.hpp"

#include <array>
#include <vector>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

constexpr std::array<StepShape, 5> shapes{{
    {"chargpt", "gpt", 4, 4, 4, 128, 512, 65, 64, 12},
    {"llama17m", "llama", 4, 8, 8, 512, 1408, 4096, 256, 4},
    {"gpt30m", "gpt", 6, 8, 8, 512, 2048, 8192, 256, 8},
    {"gpt2", "gpt", 12, 12, 12, 768, 3072, 50257, 512, 2},
    {"llama134m", "llama", 12, 12, 12, 768, 2048, 32000, 256, 4},
}};

}  // namespace

double StepShape::flops() const {
  const int64_t ffn_matrices = kind == "llama" ? 3 : 2;
  const int64_t parameters = layers * (4 * width * width + ffn_matrices * width * ffn) + vocab * width;
  return 6.0 * static_cast<double>(parameters) * static_cast<double>(tokens()) +
         6.0 * static_cast<double>(layers * batch * seq * seq * width);
}

std::span<const StepShape> step_shapes() { return shapes; }

const StepShape& step_shape_named(std::string_view name) {
  std::vector<std::string_view> known;
  for (const StepShape& shape : shapes) {
    if (shape.name == name) return shape;
    known.push_back(shape.name);
  }
  throw error("shape {} is not known{}", shown(name), suggestion(name, known));
}

Config config_of(const StepShape& shape, DType dtype) {
  Config config;
  config.model = default_model(shape.kind == "llama" ? ModelKind::llama : ModelKind::gpt2);
  config.model.layers = shape.layers;
  config.model.heads = shape.heads;
  config.model.kv_heads = shape.kv_heads;
  config.model.width = shape.width;
  config.model.ffn = shape.ffn;
  config.model.vocab = shape.vocab;
  config.model.seq = shape.seq;
  config.train.batch = shape.batch;
  config.train.lr = 3e-4;
  config.train.clip = 0;
  config.run.dtype = dtype;
  return config;
}

}  // namespace tessera
