// What goes wrong: a user's mistake (Error) or a failure while running (Failure).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace tessera {

// A mistake in what was asked for. The message names the thing and the way out; `tessera` exits with 2.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Something that went wrong while doing it: a kernel, a full disk, a dead peer. `tessera` exits with 1.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// throw error("tensor {} is {} wide, heads = {} do not divide it", ...)
template <class... Args>
Error error(fmt::format_string<Args...> format, Args&&... args) {
  return Error(fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
Failure failure(fmt::format_string<Args...> format, Args&&... args) {
  return Failure(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tessera
