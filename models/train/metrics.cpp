// Metrics.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/metrics.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"

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

Metrics::Metrics(std::filesystem::path file, int64_t steps) : file_(std::move(file)) {
  write_file(file_, lines_up_to(file_, steps));
  descriptor_ = ::open(file_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor_ < 0) throw_unwritable(file_, errno);
}

Metrics::~Metrics() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Metrics::append(std::string_view line) {
  const off_t end = ::lseek(descriptor_, 0, SEEK_END);
  while (!line.empty()) {
    const ssize_t put = ::write(descriptor_, line.data(), line.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int reason = errno;
      if (end >= 0 && ::ftruncate(descriptor_, end) != 0)
        throw failure("{}: its last line is cut off: {}", file_.string(), std::strerror(reason));
      throw_unwritable(file_, reason);
    }
    line.remove_prefix(static_cast<size_t>(put));
  }
}

void Metrics::write(const TrainProgress& p) {
  nlohmann::ordered_json line{{"step", p.step},
                              {"loss", p.loss},
                              {"lr", p.lr},
                              {"grad_norm", p.grad_norm},
                              {"tokens_per_s", p.tokens_per_s},
                              {"gflops", p.flops_per_s / 1e9}};
  if (p.val_loss) line["val_loss"] = *p.val_loss;
  append(line.dump() + '\n');
}

void Metrics::sync() {
  if (::fsync(descriptor_) != 0) throw_unwritable(file_, errno);
}

}  // namespace tessera
