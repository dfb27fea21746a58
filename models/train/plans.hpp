// Plans of training and evaluation, tiled as the configuration says.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/config/config.hpp"
#include "runtime/plan/plan.hpp"

namespace tessera {

Plan training_plan(const Config& config, const Graph& graph);
// Variables keep the cuts they have in training; rows are cut anew.
Plan evaluation_plan(const Config& config, const Graph& graph, const Tiling& training);

}  // namespace tessera
