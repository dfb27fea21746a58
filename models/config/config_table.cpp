// Typed, range-checked access to one table of a TOML file.
// SPDX-License-Identifier: Apache-2.0
#include "models/config/config_table.hpp"

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

std::string_view type_name(toml::node_type type) {
  switch (type) {
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::table:
      return "a table";
    default:
      return "a date or time";
  }
}

}  // namespace

ConfigTable::ConfigTable(std::string_view source, const toml::table& file, std::string_view name,
                         std::span<const std::string_view> known)
    : source_(source), name_(name), table_(file.get_as<toml::table>(name)) {
  if (!table_) {
    if (file.contains(name))
      throw error("{}: {} must be a table; write [{}] on a line of its own", source, name, name);
    return;
  }
  for (const auto& [key, value] : *table_)
    if (std::ranges::find(known, key.str()) == known.end())
      throw error("{}: [{}] {}: unknown key{}", source, name, shown(key.str()), suggestion(key.str(), known));
}

void ConfigTable::require(std::initializer_list<std::string_view> keys) const {
  for (std::string_view key : keys)
    if (!has(key)) fail(key, "missing, and it has no default; set it");
}

void ConfigTable::wrong_type(std::string_view key, std::string_view wanted) const {
  fail(key, fmt::format("must be {}, not {}", wanted, type_name(node(key)->type())));
}

void ConfigTable::read(std::string_view key, int64_t& out) const {
  if (!has(key)) return;
  const auto* value = node(key)->as_integer();
  if (!value) wrong_type(key, "a whole number");
  out = value->get();
}

void ConfigTable::read(std::string_view key, int64_t& out, int64_t least, int64_t most) const {
  read(key, out);
  if (has(key) && (out < least || out > most))
    fail(key, fmt::format("{} is out of range; {} to {} is possible", out, least, most));
}

double ConfigTable::number_in(const toml::node& from, std::string_view key) const {
  double value = 0;
  if (const auto* integer = from.as_integer())
    value = static_cast<double>(integer->get());
  else if (const auto* number = from.as_floating_point())
    value = number->get();
  else
    fail(key, fmt::format("must be a number, not {}", type_name(from.type())));
  if (!std::isfinite(value)) fail(key, "must be a finite number");
  return value;
}

void ConfigTable::in_range(std::string_view key, double value, double least, double most) const {
  if (value < least || value > most)
    fail(key, fmt::format("{} is out of range; {} to {} is possible", value, least, most));
}

void ConfigTable::read(std::string_view key, double& out) const {
  if (has(key)) out = number_in(*node(key), key);
}

void ConfigTable::read(std::string_view key, double& out, double least, double most) const {
  read(key, out);
  if (has(key)) in_range(key, out, least, most);
}

void ConfigTable::read(std::string_view key, bool& out) const {
  if (!has(key)) return;
  const auto* value = node(key)->as_boolean();
  if (!value) wrong_type(key, "true or false");
  out = value->get();
}

void ConfigTable::read(std::string_view key, std::string& out) const {
  if (!has(key)) return;
  const auto* value = node(key)->as_string();
  if (!value) wrong_type(key, "a string in quotes");
  out = value->get();
}

void ConfigTable::read(std::string_view key, std::array<double, 2>& out, double least, double most) const {
  if (!has(key)) return;
  const auto* list = node(key)->as_array();
  if (!list || list->size() != 2) fail(key, "must be a list of two numbers, such as [0.9, 0.95]");
  for (size_t i = 0; i < 2; ++i) {
    out[i] = number_in(*list->get(i), key);
    in_range(key, out[i], least, most);
  }
}

void ConfigTable::read(std::string_view key, std::vector<std::string>& out) const {
  if (!has(key)) return;
  if (const auto* one = node(key)->as_string()) {
    out = {one->get()};
    return;
  }
  const auto* list = node(key)->as_array();
  if (!list) wrong_type(key, "a string or a list of strings");
  out.clear();
  for (const toml::node& item : *list) {
    if (!item.is_string())
      fail(key, fmt::format("must be a list of strings, but holds {}", type_name(item.type())));
    out.push_back(item.as_string()->get());
  }
}

}  // namespace tessera
