// metrics.jsonl: one line of JSON per step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>

#include "models/train/trainer.hpp"

namespace tessera {

class Metrics {
 public:
  // Keeps the lines of the steps up to `steps`, drops what an interrupted run wrote after its last
  // checkpoint.
  Metrics(std::filesystem::path file, int64_t steps);
  void write(const TrainProgress& progress);

 private:
  std::filesystem::path file_;
  std::ofstream stream_;
};

}  // namespace tessera
