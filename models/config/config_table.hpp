// Typed, range-checked access to one table of a TOML file; for config.cpp only, so that toml++ stays inside.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {

template <class E>
using Choices = std::span<const std::pair<std::string_view, E>>;

class ConfigTable {
 public:
  // Throws Error where [name] is no table or holds a key that is not known.
  ConfigTable(std::string_view source, const toml::table& file, std::string_view name,
              std::span<const std::string_view> known);

  bool has(std::string_view key) const { return table_ && table_->contains(key); }
  void require(std::initializer_list<std::string_view> keys) const;

  // Each leaves `out` as it is where the key is absent.
  void read(std::string_view key, int64_t& out) const;
  void read(std::string_view key, int64_t& out, int64_t least, int64_t most) const;
  void read(std::string_view key, double& out) const;
  void read(std::string_view key, double& out, double least, double most) const;
  void read(std::string_view key, bool& out) const;
  void read(std::string_view key, std::string& out) const;
  void read(std::string_view key, std::array<double, 2>& out, double least, double most) const;
  void read(std::string_view key, std::vector<std::string>& out) const;  // a string or a list of them

  template <class E>
  void choose(std::string_view key, E& out, std::type_identity_t<Choices<E>> choices) const {
    std::string text;
    if (!has(key)) return;
    read(key, text);
    std::vector<std::string_view> names;
    for (const auto& [name, value] : choices) {
      if (name == text) {
        out = value;
        return;
      }
      names.push_back(name);
    }
    fail(key, fmt::format("{} is not known{}", shown(text), suggestion(text, names)));
  }

  [[noreturn]] void fail(std::string_view key, std::string_view reason) const {
    throw error("{}: [{}] {}: {}", source_, name_, key, reason);
  }

 private:
  const toml::node* node(std::string_view key) const { return table_ ? table_->get(key) : nullptr; }
  [[noreturn]] void wrong_type(std::string_view key, std::string_view wanted) const;
  double number_in(const toml::node& node, std::string_view key) const;
  void in_range(std::string_view key, double value, double least, double most) const;

  std::string source_, name_;
  const toml::table* table_;
};

}  // namespace tessera
