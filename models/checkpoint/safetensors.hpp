// The safetensors format: read through a map with everything checked, written atomically and always alike.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/dtype.hpp"
#include "runtime/core/file.hpp"

namespace tessera {

// One tensor in an open file; the bytes live as long as the file and may be unaligned.
struct TensorEntry {
  std::string file, name;
  std::string stored;  // dtype as the file writes it: "F32", "BF16", "I64"
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  // Throws Error where the shape is not the expected one or the stored dtype is not read as `to`.
  void check(std::span<const int64_t> expected, DType to) const;
  // Copies the tensor into dst as `to`, after these checks: floating types convert into each other, I64 into
  // i32 where it fits.
  void read(std::span<const int64_t> expected, DType to, std::span<std::byte> dst) const;
};

class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::filesystem::path& file);
  // Views into `bytes`, which must outlive the entries; `source` names them in errors.
  static std::vector<TensorEntry> parse(std::span<const std::byte> bytes, std::string_view source);

  std::span<const TensorEntry> entries() const { return entries_; }  // sorted by name
  const TensorEntry* find(std::string_view name) const;              // null where absent

 private:
  explicit SafetensorsFile(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  std::vector<TensorEntry> entries_;
};

// The weights of a model folder: model.safetensors, or the shards named by model.safetensors.index.json.
class ModelWeights {
 public:
  static ModelWeights open(const std::filesystem::path& folder);

  const std::vector<const TensorEntry*>& entries() const { return entries_; }  // sorted by name
  const TensorEntry* find(std::string_view name) const;                        // null where absent
  const TensorEntry& at(std::string_view name) const;                          // Error where absent

 private:
  std::string source_;
  std::vector<SafetensorsFile> files_;
  std::vector<const TensorEntry*> entries_;
};

struct NamedArray {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::function<std::vector<std::byte>()> make = {};  // instead of bytes: called when they are written
};

// Equal arrays give equal bytes, in whatever order they come: wide dtypes first, then by name, no times.
void write_safetensors(const std::filesystem::path& file, std::span<const NamedArray> arrays);

// A NamedArray that owns its bytes.
struct OwnedArray {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  NamedArray view() const { return {name, dtype, shape, bytes}; }
};

}  // namespace tessera
