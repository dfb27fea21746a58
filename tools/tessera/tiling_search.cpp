// Searching, and putting the result into a configuration.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/tiling_search.hpp"

#include <fmt/format.h>

#include <array>
#include <map>
#include <sstream>
#include <vector>

#include "runtime/plan/auto_tiling.hpp"

namespace tessera {
namespace {

// Rows of a tile, columns of the vocabulary in a tile, cuts of "ffn", cuts of "heads".
using Choice = std::array<int64_t, 4>;

std::array<std::vector<int64_t>, 4> values_of(const ModelConfig& model) {
  std::array<std::vector<int64_t>, 4> values{
      std::vector<int64_t>{64, 128, 256, 512, 1024, 2048}, {768, 1536, 3072, 6144}, {1, 2, 4}, {1}};
  for (int64_t cuts : {2, 4})
    if (cuts <= model.kv_heads) values[3].push_back(cuts);
  if (model.vocab <= values[1][0]) values[1] = {1536};
  return values;
}

Tiling tiling_of(const Choice& choice, const Config& config, const Graph& graph) {
  Tiling tiling = auto_tiling(graph, {.sequence = config.model.seq,
                                      .micro_batches = config.train.accumulate,
                                      .tile_rows = choice[0],
                                      .vocab_cols = choice[1]});
  auto cut = [&](const char* axis, int64_t total, int64_t cuts) {
    if (cuts > 1) tiling.cut_evenly(axis, total, (total + cuts - 1) / cuts, 1);
  };
  cut("ffn", config.model.ffn, choice[2]);
  cut("heads", config.model.kv_heads, choice[3]);
  return tiling;
}

std::string trimmed(const std::string& line) {
  const size_t from = line.find_first_not_of(" \t\r");
  return from == std::string::npos ? "" : line.substr(from, line.find_last_not_of(" \t\r") - from + 1);
}

}  // namespace

TilingSearch search_tilings(const Config& config, const Graph& graph, const TilingSearchOptions& options) {
  constexpr int rounds = 2;
  const auto values = values_of(config.model);
  int at_most = 1;
  for (const auto& axis : values) at_most += rounds * (static_cast<int>(axis.size()) - 1);
  std::map<std::string, double> known;
  TilingSearch search;
  auto seconds_of = [&](const Choice& choice) {
    const Tiling tiling = tiling_of(choice, config, graph);
    const std::string text = tiling.to_string();
    if (auto found = known.find(text); found != known.end()) return found->second;
    const double seconds = known[text] = options.measure(tiling);
    ++search.measured;
    if (options.progress) options.progress(search.measured, at_most, tiling, seconds);
    return seconds;
  };
  const AutoTilingOptions automatic;
  Choice best{automatic.tile_rows, automatic.vocab_cols, 1, 1};
  search.automatic = tiling_of(best, config, graph);
  search.automatic_s = search.best_s = seconds_of(best);
  bool changed = true;
  for (int round = 0; round < rounds && changed; ++round) {
    changed = false;
    for (size_t axis = 0; axis < best.size(); ++axis)
      for (int64_t value : values[axis]) {
        Choice other = best;
        other[axis] = value;
        const double seconds = seconds_of(other);
        if (seconds >= search.best_s) continue;
        best = other;
        search.best_s = seconds;
        changed = true;
      }
  }
  search.best = tiling_of(best, config, graph);
  return search;
}

std::string with_tiling(const std::string& toml, const std::string& tiling) {
  const std::string wanted = fmt::format("tiling = \"{}\"", tiling);
  std::vector<std::string> lines;
  std::istringstream in(toml);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  size_t run = lines.size(), at = lines.size();  // [run], and its tiling
  std::string table;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string line = trimmed(lines[i]);
    if (line.starts_with("[")) table = line.substr(0, line.find(']') + 1);
    if (line.starts_with("[run]")) run = i;
    if (table != "[run]" || !line.starts_with("tiling")) continue;
    if (trimmed(line.substr(6)).starts_with("=")) at = i;
  }
  if (at < lines.size()) {
    lines[at] = wanted;
  } else if (run < lines.size()) {
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(run) + 1, wanted);
  } else {
    lines.insert(lines.end(), {"", "[run]", wanted});
  }
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace tessera
