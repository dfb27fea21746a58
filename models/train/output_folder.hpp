// The model folder that a run writes: made, looked through and locked before anything is trained.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "models/checkpoint/folder.hpp"

namespace tessera {

// Held for as long as a run lasts. Error where the folder cannot be written, where another process trains
// into it, and, without `resume`, where it already holds a run: two runs are never mixed.
class OutputFolder {
 public:
  OutputFolder(std::filesystem::path folder, bool resume);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();  // takes back folders that it made and that are still empty

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  const std::optional<Checkpoint>& latest() const { return latest_; }  // to go on from

 private:
  void make();
  void lock();
  void check_for_runs(bool resume) const;
  void let_go() noexcept;

  std::filesystem::path folder_;
  bool made_folder_ = false, made_checkpoints_ = false;
  int descriptor_ = -1;
  std::optional<Checkpoint> latest_;
};

}  // namespace tessera
