// nlohmann's parser, with duplicate keys and deep nesting refused.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/json.hpp"

#include <set>
#include <string>
#include <vector>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

constexpr int max_depth = 64;

// "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without the bracket.
std::string reason_in(const nlohmann::json::exception& failed) {
  std::string_view what = failed.what();
  size_t bracket = what.find("] ");
  return std::string(bracket == what.npos ? what : what.substr(bracket + 2));
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view source) {
  using Event = nlohmann::json::parse_event_t;
  std::vector<std::set<std::string>> keys;
  auto watch = [&](int depth, Event event, const nlohmann::json& parsed) {
    if (depth > max_depth) throw error("{}: JSON nested deeper than {} levels", source, max_depth);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw error("{}: key {} appears twice in one JSON object", source, shown(parsed.get<std::string>()));
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), watch);
  } catch (const nlohmann::json::exception& failed) {
    std::string reason = shown(reason_in(failed));
    throw error("{}: not valid JSON: {}", source, reason.substr(1, reason.size() - 2));
  }
}

}  // namespace tessera
