// Configurations and feeds of measured steps.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/step_model.hpp"

#include "models/train/plans.hpp"
#include "runtime/core/devices.hpp"
#include "runtime/core/philox.hpp"

namespace tessera {

EngineOptions engine_of(const Config& config) {
  const DeviceSet devices = parse_devices(config.run.devices);
  Config counted = config;
  if (devices.cpu > 0) counted.run.workers = devices.cpu;
  return {.workers = useful_workers(counted),
          .scheduler = config.run.scheduler,
          .opencl = devices.opencl,
          .cuda = devices.cuda};
}

RandomFeeds::RandomFeeds(const Config& config, const TrainingGraph& training) : batch_(training.rows) {
  const auto below = [&](uint32_t word) {
    return static_cast<int32_t>(word % static_cast<uint64_t>(config.model.vocab));
  };
  for (int64_t row = 0; row < training.rows; ++row) {
    const auto draw = philox({static_cast<uint32_t>(row), 0, 0, 0}, philox_key(0));
    batch_.set(row, row / config.model.seq * config.model.seq, below(draw[0]), below(draw[1]));
  }
  feeds_ = training.batch.feeds(batch_);
  feeds_.insert(feeds_.end(), {{training.rng, rng_}, {training.lr, lr_}, {training.step, step_}});
}

}  // namespace tessera
