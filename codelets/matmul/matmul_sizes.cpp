// The sizes that the device's matmul is compiled for: a table, and what was tuned for the devices of a
// machine.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "codelets/matmul/matmul_gpu.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/device/cache.hpp"

namespace tessera {
namespace {

// Panels for 32 wide registers, then for 16, then for little local memory; tiles from most to least reuse.
constexpr std::array<MatmulSizes, 14> table{{
    {128, 128, 128, 8, 32},
    {64, 256, 128, 8, 32},
    {64, 128, 256, 8, 32},
    {96, 128, 128, 12, 32},
    {128, 128, 128, 4, 64},
    {96, 192, 128, 6, 48},
    {96, 128, 128, 6, 16},
    {128, 128, 128, 4, 16},
    {32, 32, 64, 8, 32},
    {64, 64, 16, 4, 4},
    {128, 128, 16, 8, 8},
    {128, 128, 8, 8, 8},
    {128, 64, 16, 8, 4},
    {32, 32, 16, 4, 4},
}};

TunedMatmul parsed(const std::string& line) {
  const auto json = nlohmann::json::parse(line);
  const auto size = [&](const char* name) { return json.at(name).get<int>(); };
  TunedMatmul tuned{json.at("device").get<std::string>(),
                    dtype_named(json.at("dtype").get<std::string>()),
                    {size("tm"), size("tn"), size("tk"), size("mr"), size("nr")}};
  if (std::find(table.begin(), table.end(), tuned.sizes) == table.end())
    throw error("sizes that are not in the table");
  return tuned;
}

std::string line_of(const TunedMatmul& tuned) {
  const MatmulSizes& s = tuned.sizes;
  const nlohmann::ordered_json json{{"device", tuned.device},
                                    {"dtype", name_of(tuned.dtype)},
                                    {"tm", s.tm},
                                    {"tn", s.tn},
                                    {"tk", s.tk},
                                    {"mr", s.mr},
                                    {"nr", s.nr}};
  return json.dump() + "\n";
}

}  // namespace

int64_t MatmulSizes::local_bytes() const {
  const int64_t floats = panels() ? (tm + tn) * tk + 16 * tm + tm * tn : (tm + tn + 8) * tk;
  return floats * static_cast<int64_t>(sizeof(float));
}

std::vector<MatmulSizes> matmul_sizes(const DeviceTraits& device) {
  std::vector<MatmulSizes> suiting;
  for (const MatmulSizes& sizes : table)
    if (sizes.panels() == device.is_cpu && sizes.local_bytes() <= device.local_bytes)
      suiting.push_back(sizes);
  if (suiting.empty()) suiting.push_back(table.back());  // any device has that much
  return suiting;
}

std::filesystem::path tuned_matmul_file() {
  const std::filesystem::path folder = cache_folder();
  return folder.empty() ? folder : folder / "matmul.jsonl";
}

std::vector<TunedMatmul> read_tuned_matmul(const std::filesystem::path& file) {
  std::vector<TunedMatmul> all;
  if (file.empty() || !std::filesystem::exists(file)) return all;
  try {
    std::istringstream lines(read_file(file, 1 << 20));
    for (std::string line; std::getline(lines, line);) all.push_back(parsed(line));
  } catch (const std::exception& why) {
    spdlog::warn("{} is no list of tuned sizes ({}); matmul runs with its defaults", file.string(),
                 why.what());
    all.clear();
  }
  return all;
}

void keep_tuned_matmul(const std::filesystem::path& file, const TunedMatmul& tuned) {
  if (file.empty()) return;
  std::string text;
  for (const TunedMatmul& other : read_tuned_matmul(file))
    if (other.device != tuned.device || other.dtype != tuned.dtype) text += line_of(other);
  std::filesystem::create_directories(file.parent_path());
  write_file(file, text + line_of(tuned));
}

}  // namespace tessera
