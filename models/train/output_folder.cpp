// Making and locking the folder of a run.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/output_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/core/error.hpp"

namespace tessera {

namespace fs = std::filesystem;

OutputFolder::OutputFolder(fs::path folder, bool resume) : folder_(std::move(folder)) {
  if (folder_.empty()) throw error("train: name the folder for the model with --out");
  try {
    make();
    lock();
    remove_leftovers(checkpoints());
    latest_ = latest_complete(checkpoints());
    check_for_runs(resume);
  } catch (...) {
    let_go();
    throw;
  }
}

OutputFolder::~OutputFolder() { let_go(); }

void OutputFolder::make() {
  std::error_code problem;
  made_folder_ = fs::create_directories(folder_, problem);
  if (!problem) made_checkpoints_ = fs::create_directory(checkpoints(), problem);
  if (problem == std::errc::no_space_on_device)
    throw failure("{}: cannot be made, the disk is full; free some space or choose another with --out",
                  folder_.string());
  const int mistake = problem                                             ? problem.value()
                      : ::access(folder_.c_str(), W_OK | X_OK) != 0       ? errno
                      : ::access(checkpoints().c_str(), W_OK | X_OK) != 0 ? errno
                                                                          : 0;
  if (mistake != 0)
    throw error("{}: cannot be written ({}); choose another folder with --out", folder_.string(),
                std::strerror(mistake));
}

// The lock is the kernel's, on the folder itself: it goes with the process, however that ends.
void OutputFolder::lock() {
  descriptor_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // File systems without such locks (some network ones) say something else, and are used without.
  if (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw error("{}: another process is training into this folder; wait for it, or choose another with --out",
                folder_.string());
}

void OutputFolder::check_for_runs(bool resume) const {
  if (latest_ && !resume)
    throw error(
        "{}: already holds a run of {} steps; go on with it by --resume, or choose another folder with --out",
        folder_.string(), latest_->step);
  if (!latest_ && fs::exists(folder_ / "model.safetensors"))
    throw error("{}: already holds a model{}; choose another folder with --out", folder_.string(),
                resume ? " but no checkpoint to resume from" : "");
}

void OutputFolder::let_go() noexcept {
  if (made_checkpoints_) ::rmdir(checkpoints().c_str());
  if (made_folder_) ::rmdir(folder_.c_str());
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace tessera
