// metrics.jsonl: one line of JSON per step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

#include "models/train/trainer.hpp"

namespace tessera {

class Metrics {
 public:
  // Keeps the lines of the steps up to `steps`, drops what an interrupted run wrote after its last
  // checkpoint.
  Metrics(std::filesystem::path file, int64_t steps);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics();

  // A line is there whole or not at all. Failure where the disk is full.
  void write(const TrainProgress& progress);
  void sync();  // makes the lines written so far durable

 private:
  void append(std::string_view line);

  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace tessera
