// metrics.jsonl: one line of JSON per step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "models/train/trainer.hpp"
#include "runtime/core/file.hpp"

namespace tessera {

class Metrics {
 public:
  // Keeps the lines of the steps up to `steps`, drops what an interrupted run wrote after its last
  // checkpoint.
  Metrics(const std::filesystem::path& file, int64_t steps);

  void write(const TrainProgress& progress);
  void sync() { lines_.sync(); }

 private:
  LineFile lines_;
};

}  // namespace tessera
