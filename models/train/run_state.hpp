// A run's files: the model folder, and the checkpoints from which it goes on to the same bits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "models/checkpoint/folder.hpp"
#include "models/config/config.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/core/tiling.hpp"
#include "runtime/exec/session.hpp"

namespace tessera {

// What others can read: config.json, model.safetensors and the tokenizer.
void save_model(const std::filesystem::path& folder, const Config& config, const Tokenizer& tokenizer,
                Session& session);

// What only a resumed run needs: optimizer.safetensors, and trainer.json with step, tiling, configuration and
// the choices of the devices' algorithms.
void save_run_state(const std::filesystem::path& folder, const Config& config, int64_t step,
                    const Tiling& tiling, Session& session);

// The configuration as it goes on from a checkpoint: `tiling = auto` means the one that the run began with,
// as long as its rows are the same. Error where the checkpoint is of another model or optimizer.
Config resumed_config(Config config, const Checkpoint& checkpoint);

// Weights, optimizer state and choices; Error unless the checkpoint has all of the session's and nothing
// else.
void load_run_state(const Checkpoint& checkpoint, const Config& config, Session& session);

}  // namespace tessera
