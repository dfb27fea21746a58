// A search over tilings of a training step: one axis after the other, from what `auto` takes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "models/config/config.hpp"
#include "runtime/core/tiling.hpp"
#include "runtime/graph/graph.hpp"

namespace tessera {

struct TilingSearch {
  Tiling automatic, best;
  double automatic_s = 0, best_s = 0;  // seconds of a step, as `measure` told them
  int measured = 0;
};

struct TilingSearchOptions {
  std::function<double(const Tiling&)> measure;  // seconds of a step
  std::function<void(int measured, int at_most, const Tiling&, double seconds)> progress = {};
};

// Rows of a tile, columns of the vocabulary in a tile, cuts of the feed-forward width and of the heads: each
// in turn takes the value with the shortest step, until none changes. No tiling is measured twice.
TilingSearch search_tilings(const Config& config, const Graph& graph, const TilingSearchOptions& options);

// The same TOML text with run.tiling set, comments and order kept.
std::string with_tiling(const std::string& toml, const std::string& tiling);

}  // namespace tessera
