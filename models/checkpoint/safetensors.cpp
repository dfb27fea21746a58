// Parsing and checking safetensors files and sharded model folders.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <optional>

#include "models/checkpoint/json.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr uint64_t max_header_bytes = 100'000'000;  // the limit of the reference implementation

struct StoredType {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<StoredType, 15> stored_types{{{"BOOL", 1},
                                                   {"U8", 1},
                                                   {"I8", 1},
                                                   {"F8_E5M2", 1},
                                                   {"F8_E4M3", 1},
                                                   {"I16", 2},
                                                   {"U16", 2},
                                                   {"F16", 2},
                                                   {"BF16", 2},
                                                   {"I32", 4},
                                                   {"U32", 4},
                                                   {"F32", 4},
                                                   {"F64", 8},
                                                   {"I64", 8},
                                                   {"U64", 8}}};

std::optional<uint64_t> product(uint64_t a, uint64_t b) {
  uint64_t out = 0;
  return __builtin_mul_overflow(a, b, &out) ? std::nullopt : std::optional(out);
}

struct Located {
  TensorEntry entry;
  uint64_t begin, end;
};

// {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
Located read_entry(const std::string& name, const nlohmann::json& about, std::string_view source,
                   std::span<const std::byte> data) {
  auto fail = [&](std::string_view what) { return error("{}: tensor {} {}", source, shown(name), what); };
  if (!about.is_object() || about.size() != 3 || !about.contains("dtype") || !about.contains("shape") ||
      !about.contains("data_offsets"))
    throw fail("needs the keys dtype, shape and data_offsets and no others");

  const auto &dtype = about["dtype"], &shape = about["shape"], &offsets = about["data_offsets"];
  if (!dtype.is_string()) throw fail("has a dtype that is not a string");
  Located out{{std::string(source), name, dtype.get<std::string>(), {}, {}}, 0, 0};
  auto type = std::ranges::find(stored_types, out.entry.stored, &StoredType::name);
  if (type == stored_types.end())
    throw fail(fmt::format("has the unknown dtype {}", shown(out.entry.stored)));

  if (!shape.is_array()) throw fail("has a shape that is not a list");
  std::optional<uint64_t> bytes = type->bytes;
  bool empty = false;
  for (const auto& extent : shape) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > INT64_MAX)
      throw fail("has a shape that is not a list of whole numbers >= 0");
    out.entry.shape.push_back(extent.get<int64_t>());
    empty |= out.entry.shape.back() == 0;
    if (bytes) bytes = product(*bytes, extent.get<uint64_t>());
  }
  if (empty) bytes = 0;
  if (!bytes) throw fail("has a shape with more elements than can be counted");

  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    throw fail("has data_offsets that are not two whole numbers >= 0");
  out.begin = offsets[0].get<uint64_t>(), out.end = offsets[1].get<uint64_t>();
  if (out.begin > out.end || out.end > data.size())
    throw fail(fmt::format("lies at bytes {} to {}, outside the {} bytes of data that the file holds",
                           out.begin, out.end, data.size()));
  if (out.end - out.begin != *bytes)
    throw fail(fmt::format("holds {} bytes, its shape and dtype need {}", out.end - out.begin, *bytes));
  out.entry.bytes = data.subspan(out.begin, *bytes);
  return out;
}

// The tensors must cover the data without gap or overlap.
void check_cover(std::vector<Located>& tensors, uint64_t data_bytes, std::string_view source) {
  std::ranges::sort(tensors, {}, [](const Located& t) { return std::pair(t.begin, t.end); });
  uint64_t end = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Located& t = tensors[i];
    if (t.begin < end)
      throw error("{}: tensors {} and {} overlap", source, shown(tensors[i - 1].entry.name),
                  shown(t.entry.name));
    if (t.begin > end)
      throw error("{}: {} bytes before tensor {} belong to no tensor", source, t.begin - end,
                  shown(t.entry.name));
    end = t.end;
  }
  if (end < data_bytes) throw error("{}: the last {} bytes belong to no tensor", source, data_bytes - end);
}

void check_metadata(const nlohmann::json& metadata, std::string_view source) {
  bool ok = metadata.is_object();
  for (const auto& value : metadata) ok = ok && value.is_string();
  if (!ok) throw error("{}: __metadata__ must map strings to strings", source);
}

const TensorEntry* find_entry(std::span<const TensorEntry> entries, std::string_view name) {
  auto at = std::ranges::lower_bound(entries, name, {}, &TensorEntry::name);
  return at != entries.end() && at->name == name ? &*at : nullptr;
}

// {"weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}} as shard -> tensors
std::map<std::string, std::vector<std::string>> read_index(const fs::path& file) {
  std::string source = file.string();
  nlohmann::json index = parse_json(read_file(file, max_header_bytes), source);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object() ||
      index["weight_map"].empty())
    throw error("{}: needs a weight_map from tensor names to shard files", source);
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) throw error("{}: the shard of tensor {} is not a string", source, shown(tensor));
    fs::path name = shard.get<std::string>();
    if (name.empty() || name != name.filename() || name == "." || name == "..")
      throw error("{}: tensor {} is said to be in {}, which is no file name beside the index", source,
                  shown(tensor), shown(name.string()));
    shards[name.string()].push_back(tensor);
  }
  return shards;
}

// Every shard opened, and found to hold what the index says and nothing else.
std::vector<SafetensorsFile> open_shards(const fs::path& index) {
  std::vector<SafetensorsFile> files;
  for (const auto& [shard, names] : read_index(index)) {
    const SafetensorsFile& file = files.emplace_back(SafetensorsFile::open(index.parent_path() / shard));
    for (const std::string& name : names)
      if (!file.find(name))
        throw error("{}: tensor {} is not in {}, where the index says it is", index.string(), shown(name),
                    shard);
    if (file.entries().size() != names.size())
      throw error("{}: {} holds {} tensors, the index names {} of them", index.string(), shard,
                  file.entries().size(), names.size());
  }
  return files;
}

std::string_view name_of_entry(const TensorEntry* entry) { return entry->name; }

}  // namespace

SafetensorsFile SafetensorsFile::open(const fs::path& file) {
  SafetensorsFile opened{MappedFile(file)};
  try {
    opened.entries_ = parse(opened.file_.bytes(), file.string());
  } catch (const Error& damaged) {
    throw error("{}; the file is damaged or incomplete: save or download it again", damaged.what());
  }
  return opened;
}

std::vector<TensorEntry> SafetensorsFile::parse(std::span<const std::byte> bytes, std::string_view source) {
  if (bytes.empty()) throw error("{}: is empty, a safetensors file is needed", source);
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes)
    throw error("{}: is {} bytes long, too short for a safetensors file", source, bytes.size());
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  if (header_bytes > max_header_bytes)
    throw error("{}: says its header is {} bytes long, at most {} can be; no safetensors file", source,
                header_bytes, max_header_bytes);
  if (header_bytes > bytes.size() - sizeof header_bytes)
    throw error("{}: is truncated: its header of {} bytes does not fit in the {} bytes of the file", source,
                header_bytes, bytes.size());
  std::string_view header{reinterpret_cast<const char*>(bytes.data()) + sizeof header_bytes, header_bytes};
  std::span<const std::byte> data = bytes.subspan(sizeof header_bytes + header_bytes);
  if (!header.starts_with('{')) throw error("{}: its header does not start with '{{'", source);

  nlohmann::json tensors = parse_json(header, source);
  std::vector<Located> located;
  for (const auto& [name, about] : tensors.items()) {
    if (name == "__metadata__")
      check_metadata(about, source);
    else
      located.push_back(read_entry(name, about, source, data));
  }
  check_cover(located, data.size(), source);

  std::vector<TensorEntry> entries;
  entries.reserve(located.size());
  for (Located& t : located) entries.push_back(std::move(t.entry));
  std::ranges::sort(entries, {}, &TensorEntry::name);
  return entries;
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const { return find_entry(entries_, name); }

ModelWeights ModelWeights::open(const fs::path& folder) {
  ModelWeights weights;
  fs::path single = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  if (fs::exists(single, ignored) || !fs::exists(index, ignored)) {
    weights.source_ = single.string();
    weights.files_.push_back(SafetensorsFile::open(single));
  } else {
    weights.source_ = index.string();
    weights.files_ = open_shards(index);
  }
  for (const SafetensorsFile& file : weights.files_)
    for (const TensorEntry& entry : file.entries()) weights.entries_.push_back(&entry);
  std::ranges::sort(weights.entries_, {}, name_of_entry);
  return weights;
}

const TensorEntry* ModelWeights::find(std::string_view name) const {
  auto at = std::ranges::lower_bound(entries_, name, {}, name_of_entry);
  return at != entries_.end() && (*at)->name == name ? *at : nullptr;
}

const TensorEntry& ModelWeights::at(std::string_view name) const {
  if (const TensorEntry* entry = find(name)) return *entry;
  throw error("{}: has no tensor {}, which the model needs; take the weights that belong to its config.json",
              source_, shown(name));
}

}  // namespace tessera
