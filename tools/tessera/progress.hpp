// A progress bar of one line for training; on a file or a pipe, a plain line now and then.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace tessera {

struct Progress {
  int64_t step = 0;  // steps done
  double loss = 0;
  double tokens_per_s = 0, gflops = 0;
  std::string text = {};  // shown in place of loss and rates
};

class ProgressBar {
 public:
  struct Options {
    int64_t steps = 1;
    double ceiling_gflops = 0;  // 0: the share of it is left out
    std::FILE* out = stderr;
    std::optional<bool> terminal = {};  // by default whether `out` is one
    double plain_every_s = 10;          // between plain lines
  };

  explicit ProgressBar(const Options& options);
  ~ProgressBar();  // ends the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(const Progress& now);
  void say(const std::string& line);  // prints a line of its own, above the bar
  void finish();                      // shows the last update and ends the line

 private:
  void draw();
  int columns() const;
  double clock() const;  // seconds

  Options options_;
  bool terminal_;
  std::optional<Progress> last_;
  int64_t first_step_ = 0;
  double started_ = 0, drawn_ = 0;
  bool open_ = false;    // the cursor stands behind a bar
  bool current_ = true;  // the last update has been shown
};

// The line itself, at most `columns` wide, without the line's end; `seconds_left` is left out where it is
// negative, the bar where there is no room.
struct ProgressLine {
  int64_t steps = 1;
  double ceiling_gflops = 0, seconds_left = -1;
  bool bar = true;
  int columns = 80;
};
std::string progress_line(const Progress& now, const ProgressLine& how);

}  // namespace tessera
