// What the tests of files share: a folder that vanishes, a small disk, and the message of what was thrown.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/core/error.hpp"

namespace tessera::test {

struct ScratchFolder {
  std::filesystem::path path;

  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tessera-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw failure("no scratch folder at {}", pattern);
    path = pattern;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ~ScratchFolder() { std::filesystem::remove_all(path); }

  std::filesystem::path operator/(std::string_view name) const { return path / name; }
  std::filesystem::path write(std::string_view name, std::string_view text) const {
    std::ofstream(path / name, std::ios::binary) << text;
    return path / name;
  }
  size_t entries() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
  }
};

// The one line that `call` throws as a Raised; a note that says so where it throws none.
template <class Raised, class Call>
std::string thrown(Call&& call) {
  try {
    call();
  } catch (const Raised& raised) {
    EXPECT_THAT(raised.what(), testing::Not(testing::HasSubstr("\n")));
    return raised.what();
  }
  return "(nothing was thrown)";
}

template <class Call>
std::string error_of(Call&& call) {
  return thrown<Error>(std::forward<Call>(call));
}

// Runs `call(folder)` in a child process whose disk holds `bytes`; true where it returned true.
// The disk is a tmpfs of that size; without the right to mount one, a limit on the size of files.
template <class Call>
bool on_a_small_disk(size_t bytes, Call&& call) {
  ScratchFolder folder;
  pid_t child = ::fork();
  if (child == 0) {
    std::string size = "size=" + std::to_string(bytes);
    bool mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount("", "/", "", MS_REC | MS_PRIVATE, "") == 0 &&
                   ::mount("tmpfs", folder.path.c_str(), "tmpfs", 0, size.c_str()) == 0;
    if (!mounted) {
      rlimit limit{bytes, bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      ::signal(SIGXFSZ, SIG_IGN);
    }
    ::_exit(call(folder) ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// The folder of test data, or null: the caller then skips.
inline const char* data_folder() { return std::getenv("TESSERA_DATA"); }

}  // namespace tessera::test
