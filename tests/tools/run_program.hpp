// Runs the `tessera` program as a user would.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/core/file.hpp"
#include "tests/paths.hpp"

namespace tessera {

struct Outcome {
  int code = -1;
  std::string out, err;

  std::vector<nlohmann::json> json_lines() const {
    std::vector<nlohmann::json> lines;
    std::istringstream in(out);
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
};

// `arguments` as a shell takes them; `before` may set variables.
inline Outcome run_program(const std::string& arguments, const std::string& before = "") {
  const auto folder = std::filesystem::path(testing::TempDir());
  const auto out = folder / fmt::format("tessera_{}.out", getpid()),
             err = folder / fmt::format("tessera_{}.err", getpid());
  // The arguments come last: they may redirect once more.
  const int status = std::system(fmt::format("{} '{}' >'{}' 2>'{}' </dev/null {}", before,
                                             test::built_path(TESSERA_PROGRAM, "bin/tessera"), out.string(),
                                             err.string(), arguments)
                                     .c_str());
  Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return outcome;
}

}  // namespace tessera
