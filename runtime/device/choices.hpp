// Choices of a device's algorithms that bits may depend on: what a library proposed, sizes that were tuned.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace tessera {

// By what was asked: "matmul f32" -> "64 256 128 8 32".
using Choices = std::map<std::string, std::string>;

// The first answer stands, so that a run keeps to what it began with; recorded answers come before any.
class ChoiceBook {
 public:
  std::string choose(const std::string& what, const std::function<std::string()>& fresh) {
    std::lock_guard lock(mutex_);
    const auto found = choices_.find(what);
    return found != choices_.end() ? found->second : choices_.emplace(what, fresh()).first->second;
  }
  void add(const Choices& recorded) {  // what is known already stays
    std::lock_guard lock(mutex_);
    choices_.insert(recorded.begin(), recorded.end());
  }
  void forget(const std::string& what) {
    std::lock_guard lock(mutex_);
    choices_.erase(what);
  }
  Choices all() const {
    std::lock_guard lock(mutex_);
    return choices_;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return choices_.size();
  }

 private:
  mutable std::mutex mutex_;
  Choices choices_;
};

}  // namespace tessera
