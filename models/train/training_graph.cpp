// Graphs for training and evaluation.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/training_graph.hpp"

#include "codelets/adam/adam.hpp"
#include "codelets/adamw/adamw.hpp"
#include "codelets/clip_norm/clip_norm.hpp"
#include "codelets/cross_entropy/cross_entropy.hpp"
#include "codelets/rmsprop/rmsprop.hpp"
#include "codelets/sgd/sgd.hpp"
#include "runtime/core/error.hpp"

namespace tessera {
namespace {

Context packed(const Config& config, const BatchInputs& batch) {
  return {.positions = batch.positions, .starts = batch.starts, .seq = config.model.seq};
}

// One parameter's update; its state are variables beside it.
void update(Graph& graph, const TrainConfig& train, const Parameter& parameter, Tensor gradient,
            const OptimizerInputs& inputs, DType dtype) {
  const Tensor p = parameter.variable;
  const Graph::Scope scope(graph, "update");
  auto state = [&](const char* what) { return graph.variable(p.name() + ":" + what, p.shape(), DType::f32); };
  const double decay = parameter.decay ? train.weight_decay : 0;
  const Tensor shadow =
      dtype == DType::f32 ? Tensor() : graph.find(fmt::format("{}:{}", p.name(), name_of(dtype)));
  const auto [beta1, beta2] = train.betas;
  switch (train.optimizer) {
    case OptimizerKind::adamw:
      adamw(p, gradient, {state("m"), state("v")}, inputs,
            {.beta1 = beta1, .beta2 = beta2, .eps = train.eps, .weight_decay = decay}, shadow);
      break;
    case OptimizerKind::adam:
      adam(p, gradient, {state("m"), state("v")}, inputs,
           {.beta1 = beta1, .beta2 = beta2, .eps = train.eps, .weight_decay = decay}, shadow);
      break;
    case OptimizerKind::rmsprop:
      rmsprop(p, gradient, {.square = state("v")}, inputs,
              {.alpha = beta2, .eps = train.eps, .weight_decay = decay}, shadow);
      break;
    case OptimizerKind::sgd:
      sgd(p, gradient, train.momentum > 0 ? state("m") : Tensor(), inputs,
          {.momentum = train.momentum, .weight_decay = decay}, shadow);
      break;
  }
}

}  // namespace

BatchInputs::BatchInputs(Graph& graph, int64_t rows) {
  const Shape shape{Dim("rows", rows)};
  tokens = graph.input("tokens", shape, DType::i32);
  positions = graph.input("positions", shape, DType::i32);
  starts = graph.input("starts", shape, DType::i32);
  labels = graph.input("labels", shape, DType::i32);
}

std::vector<Feed> BatchInputs::feeds(const Batch& from) const {
  return {{tokens, from.tokens}, {positions, from.positions}, {starts, from.starts}, {labels, from.labels}};
}

TrainingGraph::TrainingGraph(const Config& config)
    : rows(config.train.batch * config.train.accumulate * config.model.seq), batch(*graph, rows) {
  const TrainConfig& train = config.train;
  rng = graph->input("rng", {2}, DType::i32);
  lr = graph->input("lr", {1}, DType::f32);
  step = graph->input("step", {1}, DType::i32);
  ModelParts parts{*graph, config.run.dtype};
  const LanguageModel model(parts, config.model);
  Context context = packed(config, batch);
  context.rng = rng;
  context.dropout = static_cast<float>(train.dropout);
  const Tensor logits = model.logits(model.hidden(batch.tokens, context));
  {
    const Graph::Scope scope(*graph, "loss");
    loss = cross_entropy(logits, batch.labels, {.label_smoothing = train.label_smoothing}).loss;
  }
  parameters = parts.parameters;
  std::vector<Tensor> variables;
  for (const Parameter& parameter : parameters) variables.push_back(parameter.variable);
  const std::vector<Tensor> gradients = graph->grad(loss, variables);
  for (size_t k = 0; k < gradients.size(); ++k)
    if (!gradients[k]) throw error("the loss does not depend on parameter '{}'", variables[k].name());
  {
    const Graph::Scope scope(*graph, "clip");
    control = clip_norm(gradients, {.max_norm = train.clip});
  }
  for (size_t k = 0; k < parameters.size(); ++k)
    update(*graph, train, parameters[k], gradients[k], {lr, step, control}, config.run.dtype);
  graph->fetch(loss);
  graph->fetch(control);
}

EvaluationGraph::EvaluationGraph(const Config& config, int64_t rows, int64_t seq) : batch(*graph, rows) {
  ModelParts parts{*graph, config.run.dtype};
  const LanguageModel model(parts, config.model);
  Context context = packed(config, batch);
  if (seq > 0) context.seq = seq;
  const Tensor logits = model.logits(model.hidden(batch.tokens, context));
  const Graph::Scope scope(*graph, "loss");
  const CrossEntropyResult result = cross_entropy(logits, batch.labels);
  loss = result.loss;
  count = result.count;
  graph->fetch(loss);
  graph->fetch(count);
}

double training_flops(const ModelConfig& c, int64_t sequences) {
  const double d = static_cast<double>(c.width), layers = static_cast<double>(c.layers),
               seq = static_cast<double>(c.seq);
  const double tokens = static_cast<double>(sequences) * seq;
  const double kv = static_cast<double>(c.kv_heads * c.head_dim()), ffn = static_cast<double>(c.ffn);
  const double block = d * (2 * d + 2 * kv) + (c.kind == ModelKind::llama ? 3 : 2) * d * ffn;
  return 6 * (layers * block + static_cast<double>(c.vocab) * d) * tokens + 6 * layers * tokens * seq * d;
}

}  // namespace tessera
