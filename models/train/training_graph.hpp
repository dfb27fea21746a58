// The graph of one training step: model, loss, gradients, clipping and the optimizer.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "models/config/config.hpp"
#include "models/data/loader.hpp"
#include "models/train/language_model.hpp"
#include "runtime/exec/executor.hpp"

namespace tessera {

// The tensors through which a batch of packed sequences enters a graph.
struct BatchInputs {
  Tensor tokens, positions, starts, labels;  // i32 [rows]

  BatchInputs(Graph& graph, int64_t rows);
  std::vector<Feed> feeds(const Batch& batch) const;
};

struct TrainingGraph {
  explicit TrainingGraph(const Config& config);

  int64_t rows;  // of all micro-batches of a step
  std::unique_ptr<Graph> graph = std::make_unique<Graph>();
  BatchInputs batch;
  Tensor rng, lr, step;  // i32 [2] = {seed, step}, f32 [1], i32 [1]
  Tensor loss, control;  // f32 []; f32 [3] = {scale, finite, norm of the gradients}
  std::vector<Parameter> parameters;
};

// The loss alone, over the same variables.
struct EvaluationGraph {
  // `seq` is the length of the packed sequences; 0: the model's positions.
  EvaluationGraph(const Config& config, int64_t rows, int64_t seq = 0);

  std::unique_ptr<Graph> graph = std::make_unique<Graph>();
  BatchInputs batch;
  Tensor loss, count;  // f32: mean over the labels that count, and their number
};

// Matrix-product flops of one training step, counted as in common benchmarks: 6 · matmul parameters · tokens,
// and 12 · layers · batch · seq² · width for attention, halved where it is causal.
double training_flops(const ModelConfig& config, int64_t sequences);

}  // namespace tessera
