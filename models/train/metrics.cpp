// Metrics.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/metrics.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace tessera {
namespace {

std::string lines_up_to(const std::filesystem::path& file, int64_t steps) {
  std::string kept;
  std::ifstream before(file);
  for (std::string line; steps > 0 && std::getline(before, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    const auto step = json.is_object() ? json.find("step") : json.end();
    if (step != json.end() && step->is_number_integer() && *step <= steps) kept += line + '\n';
  }
  return kept;
}

}  // namespace

Metrics::Metrics(const std::filesystem::path& file, int64_t steps) : lines_(file, lines_up_to(file, steps)) {}

void Metrics::write(const TrainProgress& p) {
  nlohmann::ordered_json line{{"step", p.step},
                              {"loss", p.loss},
                              {"lr", p.lr},
                              {"grad_norm", p.grad_norm},
                              {"tokens_per_s", p.tokens_per_s},
                              {"gflops", p.flops_per_s / 1e9}};
  if (p.val_loss) line["val_loss"] = *p.val_loss;
  lines_.append(line.dump() + '\n');
}

}  // namespace tessera
