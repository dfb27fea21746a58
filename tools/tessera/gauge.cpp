// Drawing the bar.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/gauge.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace tessera {

std::string gauge_line(double share, const std::string& what) {
  constexpr size_t width = 24;
  share = std::clamp(share, 0.0, 1.0);
  const auto full = static_cast<size_t>(share * width);
  return fmt::format("[{}{}{}] {:3.0f} %  {}", std::string(full, '='), full < width ? ">" : "",
                     std::string(full < width ? width - full - 1 : 0, ' '), 100 * share, what);
}

Gauge::Gauge(std::FILE* out) : out_(out), terminal_(isatty(fileno(out)) == 1) {}

Gauge::~Gauge() {
  if (open_) fmt::print(out_, "\r\x1b[K");
  std::fflush(out_);
}

void Gauge::update(double share, const std::string& what) {
  if (terminal_)
    fmt::print(out_, "\r{}\x1b[K", gauge_line(share, what));
  else if (what != last_)
    fmt::print(out_, "{}\n", what);
  open_ = terminal_;
  last_ = what;
  std::fflush(out_);
}

}  // namespace tessera
