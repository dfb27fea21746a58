// When each task of each recorded step was ready, began and ended.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/trace/trace.hpp"

namespace tessera {

class Timeline {
 public:
  struct Run {  // of one task in one step; worker -1: not recorded (completed from outside, say)
    int worker = -1;
    int64_t ready = 0, begin = 0, end = 0;
  };

  explicit Timeline(const Recording& recording);

  int64_t first_step() const { return first_; }
  int64_t steps() const { return steps_; }
  int64_t begin() const { return begin_; }  // of the first step
  int64_t end() const { return end_; }
  const Run& run(int64_t step, size_t task) const {
    return runs_[static_cast<size_t>(step - first_) * tasks_ + task];
  }
  int64_t step_begin(int64_t step) const { return step_begin_[static_cast<size_t>(step - first_)]; }

 private:
  size_t tasks_;
  int64_t first_ = 0, steps_ = 0, begin_ = 0, end_ = 0;
  std::vector<Run> runs_;
  std::vector<int64_t> step_begin_;
};

}  // namespace tessera
