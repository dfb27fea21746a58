// How far a command is, for those that do several things: a bar and what is being done.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <string>

namespace tessera {

// On a terminal one line that is drawn again and again; elsewhere a line for each new thing.
class Gauge {
 public:
  explicit Gauge(std::FILE* out = stderr);
  ~Gauge();
  Gauge(const Gauge&) = delete;
  Gauge& operator=(const Gauge&) = delete;

  void update(double share, const std::string& what);

 private:
  std::FILE* out_;
  bool terminal_, open_ = false;
  std::string last_;
};

// "[======>             ]  34 %  opencl:0, matrix products"
std::string gauge_line(double share, const std::string& what);

}  // namespace tessera
