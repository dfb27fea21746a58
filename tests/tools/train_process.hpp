// What the tests of `tessera train` as a process share: a tiny run, in the background or to its end.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "runtime/core/file.hpp"
#include "runtime/core/machine.hpp"
#include "tests/models/scratch.hpp"
#include "tests/paths.hpp"

namespace tessera::test {

// A folder with a text, a configuration for it, and a cache of its own for what the program measures.
struct TrainingSetup {
  ScratchFolder folder;

  // `settings` are lines of the configuration's tables, each table's own, to be seen in one place.
  TrainingSetup(const std::string& model, const std::string& train, const std::string& run = "") {
    std::string text;
    uint32_t state = 1;
    for (int i = 0; i < 2000; ++i) {
      state = state * 1664525 + 1013904223;
      text += "abcdefghijklmnopqrst,. \n"[(state >> 24) % 24];
    }
    folder.write("text.txt", text);
    folder.write("config.toml", fmt::format("[model]\nwidth = 32\nffn = 48\nvocab = 29\nseq = 10\nheads = 4\n"
                                            "layers = 2\n{}\n[data]\nkind = \"text\"\npath = \"{}\"\n"
                                            "[train]\nlr = 1e-2\n{}\n[run]\n{}\n",
                                            model, (folder / "text.txt").string(), train, run));
  }
  std::filesystem::path out(const std::string& name) const { return folder / name; }
};

// `tessera train` of a setup, started; killed where it is still running at the end.
class TrainProcess {
 public:
  TrainProcess(const TrainingSetup& setup, const std::filesystem::path& out,
               const std::vector<std::string>& options = {})
      : errors_(setup.folder / fmt::format("errors-{}", ++count)) {
    const std::string program = built_path(TESSERA_PROGRAM, "bin/tessera");
    std::vector<std::string> words{program, "train", (setup.folder / "config.toml").string(), "--out",
                                   out.string()};
    words.insert(words.end(), options.begin(), options.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::setenv("XDG_CACHE_HOME", setup.folder.path.c_str(), 1);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, errors_.c_str(), O_WRONLY | O_CREAT, 0666);
    const int failed = ::posix_spawn(&process_, program.c_str(), &files, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed != 0) throw failure("{} does not start", program);
  }
  TrainProcess(const TrainProcess&) = delete;
  ~TrainProcess() { kill(); }

  bool over() {
    if (process_ > 0 && ::waitpid(process_, &status_, WNOHANG) == process_) process_ = 0;
    return process_ == 0;
  }
  void kill() {
    if (over()) return;
    ::kill(process_, SIGKILL);
    code();
  }
  // Waits; -1 where it was killed.
  int code() {
    if (process_ > 0 && ::waitpid(process_, &status_, 0) == process_) process_ = 0;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }
  std::string errors() const { return read_file(errors_); }
  // The last line of what it said, which must be the only complaint: "tessera: …".
  std::string complaint() const {
    const std::string text = errors();
    const size_t at = text.rfind("tessera: ");
    if (at == std::string::npos || text.find('\n', at) + 1 != text.size()) return "(no complaint) " + text;
    return text.substr(at, text.size() - at - 1);
  }

 private:
  static inline int count = 0;
  std::filesystem::path errors_;
  pid_t process_ = 0;
  int status_ = -1;
};

inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

}  // namespace tessera::test
