// Training steps that commands run without data: a shape's configuration, and random tokens to feed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "models/train/training_graph.hpp"

namespace tessera {

// The engine that config.run asks for.
EngineOptions engine_of(const Config& config);

// What a step of `training` is fed: packed sequences of random tokens, the same every time.
class RandomFeeds {
 public:
  RandomFeeds(const Config& config, const TrainingGraph& training);
  RandomFeeds(const RandomFeeds&) = delete;
  RandomFeeds& operator=(const RandomFeeds&) = delete;
  std::span<const Feed> feeds() const { return feeds_; }

 private:
  Batch batch_;
  std::vector<int32_t> rng_{0, 0}, step_{1};
  std::vector<float> lr_{3e-4f};
  std::vector<Feed> feeds_;
};

}  // namespace tessera
