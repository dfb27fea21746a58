// Metrics.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/metrics.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"

namespace tessera {

Metrics::Metrics(std::filesystem::path file, int64_t steps) : file_(std::move(file)) {
  std::string kept;
  if (steps > 0 && std::filesystem::exists(file_)) {
    std::ifstream before(file_);
    for (std::string line; std::getline(before, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (json.is_object() && json.value("step", steps + 1) <= steps) kept += line + '\n';
    }
  }
  write_file(file_, kept);
  stream_.open(file_, std::ios::app);
}

void Metrics::write(const TrainProgress& p) {
  nlohmann::ordered_json line{{"step", p.step},
                              {"loss", p.loss},
                              {"lr", p.lr},
                              {"grad_norm", p.grad_norm},
                              {"tokens_per_s", p.tokens_per_s},
                              {"gflops", p.flops_per_s / 1e9}};
  if (p.val_loss) line["val_loss"] = *p.val_loss;
  stream_ << line.dump() << '\n' << std::flush;
  if (!stream_) throw failure("{}: cannot be written; is the disk full?", file_.string());
}

}  // namespace tessera
