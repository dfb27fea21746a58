// Strict JSON: UTF-8, no duplicate keys, bounded depth, one line that names the source when it is wrong.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace tessera {

nlohmann::json parse_json(std::string_view text, std::string_view source);

}  // namespace tessera
