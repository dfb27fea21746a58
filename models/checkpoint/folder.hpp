// The folder of checkpoints: each is there whole under its step's name or not at all; the last few are kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

namespace tessera {

struct Checkpoint {
  int64_t step = 0;
  std::filesystem::path folder;  // checkpoints/step-000123
};

// Lets `fill` write files into a new folder, syncs them, renames the folder to its step's name, and removes
// all but the last `keep` checkpoints up to this step. A kill at any moment leaves the earlier ones and at
// most a hidden folder; a full disk is a Failure, after which the checkpoints are as they were.
Checkpoint write_checkpoint(const std::filesystem::path& checkpoints, int64_t step, int64_t keep,
                            const std::function<void(const std::filesystem::path&)>& fill);

// The checkpoint of the highest step; none where the folder is missing or empty.
std::optional<Checkpoint> latest_complete(const std::filesystem::path& checkpoints);

// Clears away what killed writers left; call it before resuming.
void remove_leftovers(const std::filesystem::path& checkpoints);

}  // namespace tessera
