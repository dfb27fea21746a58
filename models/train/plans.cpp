// Plans of training and evaluation.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/plans.hpp"

#include "runtime/plan/auto_tiling.hpp"

namespace tessera {

Plan training_plan(const Config& config, const Graph& graph) {
  const Tiling tiling =
      config.run.tiling == "auto"
          ? auto_tiling(graph, {.sequence = config.model.seq, .micro_batches = config.train.accumulate})
          : Tiling::parse(config.run.tiling);
  return make_plan(graph, {.tiling = tiling,
                           .recompute = config.train.recompute,
                           .micro_batches = static_cast<int>(config.train.accumulate)});
}

Plan evaluation_plan(const Config& config, const Graph& graph, const Tiling& training) {
  const Tiling rows = auto_tiling(graph, {.sequence = config.model.seq});
  return make_plan(graph, {.tiling = training.with("rows", rows)});
}

}  // namespace tessera
