// Drawing the progress bar.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

constexpr double redraw_s = 0.1;

}  // namespace

std::string progress_line(const Progress& now, const ProgressLine& how) {
  const double done =
      how.steps > 0 ? std::clamp(static_cast<double>(now.step) / static_cast<double>(how.steps), 0.0, 1.0)
                    : 1;
  const std::string head = fmt::format("step {}/{}", now.step, how.steps);
  std::string tail = now.text.empty()
                         ? fmt::format("  loss {:.4f}  {} tokens/s", now.loss, count_text(now.tokens_per_s))
                         : "  " + now.text;
  if (how.ceiling_gflops > 0)
    tail += fmt::format("  {:.0f} % of ceiling", 100 * now.gflops / how.ceiling_gflops);
  if (how.seconds_left >= 0) tail += fmt::format("  {} left", duration_text(how.seconds_left));
  std::string middle;
  const int room = how.columns - static_cast<int>(head.size() + tail.size()) - 4;
  if (how.bar && room >= 8) {
    const auto width = static_cast<size_t>(std::min(room, 30));
    const auto full = static_cast<size_t>(done * static_cast<double>(width));
    middle = fmt::format("  [{}{}{}]", std::string(full, '='), full < width ? ">" : "",
                         std::string(full < width ? width - full - 1 : 0, ' '));
  }
  return (head + middle + tail).substr(0, static_cast<size_t>(std::max(0, how.columns)));
}

ProgressBar::ProgressBar(const Options& options)
    : options_(options), terminal_(options.terminal.value_or(isatty(fileno(options.out)) == 1)) {}

ProgressBar::~ProgressBar() { finish(); }

double ProgressBar::clock() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int ProgressBar::columns() const {
  if (!terminal_) return 200;
  winsize size{};
  // The last column stays free: some terminals wrap when it is written.
  return ioctl(fileno(options_.out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col - 1 : 79;
}

void ProgressBar::update(const Progress& now) {
  if (!last_) {
    started_ = drawn_ = clock();
    first_step_ = now.step;
  }
  const bool first = !last_;
  last_ = now;
  current_ = false;
  if (first || clock() - drawn_ >= (terminal_ ? redraw_s : options_.plain_every_s)) draw();
}

void ProgressBar::draw() {
  drawn_ = clock();
  current_ = true;
  const int64_t counted = last_->step - first_step_;
  ProgressLine how{.steps = options_.steps, .ceiling_gflops = options_.ceiling_gflops, .columns = columns()};
  how.bar = terminal_;
  if (counted > 0)
    how.seconds_left = (drawn_ - started_) / static_cast<double>(counted) *
                       static_cast<double>(std::max<int64_t>(0, options_.steps - last_->step));
  const std::string line = progress_line(*last_, how);
  if (terminal_)
    fmt::print(options_.out, "\r{}\x1b[K", line);
  else
    fmt::print(options_.out, "{}\n", line);
  open_ = terminal_;
  std::fflush(options_.out);
}

void ProgressBar::say(const std::string& line) {
  if (open_) fmt::print(options_.out, "\r\x1b[K");
  fmt::print(options_.out, "{}\n", line);
  open_ = false;
  if (terminal_ && last_)
    draw();
  else
    std::fflush(options_.out);
}

void ProgressBar::finish() {
  if (last_ && !current_) draw();
  if (open_) fmt::print(options_.out, "\n");
  open_ = false;
  std::fflush(options_.out);
}

}  // namespace tessera
