// Writing safetensors files: sorted, aligned, without anything that changes between runs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <tuple>

#include "models/checkpoint/json.hpp"
#include "models/checkpoint/safetensors.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

std::string_view stored_name(DType type) {
  switch (type) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    case DType::i32:
      return "I32";
  }
  return "?";
}

void check_size(const NamedArray& array, size_t bytes, size_t given, std::string_view file) {
  if (bytes != given)
    throw error("{}: tensor {} comes with {} bytes, its shape and dtype need {}", file, shown(array.name),
                given, bytes);
}

// How many bytes the array has.
size_t check(const NamedArray& array, std::string_view file) {
  if (array.name.empty() || array.name == "__metadata__" || invalid_utf8_at(array.name))
    throw error("{}: {} cannot name a tensor", file, shown(array.name));
  size_t bytes = size_of(array.dtype);
  for (int64_t extent : array.shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(extent), &bytes))
      throw error("{}: tensor {} has an impossible shape", file, shown(array.name));
  if (!array.make) check_size(array, bytes, array.bytes.size(), file);
  return bytes;
}

}  // namespace

void write_safetensors(const std::filesystem::path& file, std::span<const NamedArray> arrays) {
  std::vector<const NamedArray*> sorted;
  for (const NamedArray& array : arrays) {
    check(array, file.string());
    sorted.push_back(&array);
  }
  // Wide types first, so that every tensor is aligned to its own type whatever stands before it.
  std::ranges::sort(sorted, [](const NamedArray* a, const NamedArray* b) {
    return std::tuple(size_of(b->dtype), std::string_view(a->name)) <
           std::tuple(size_of(a->dtype), std::string_view(b->name));
  });

  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (const NamedArray* array : sorted) {
    if (header.contains(array->name))
      throw error("{}: two tensors are called {}", file.string(), shown(array->name));
    const uint64_t end = offset + check(*array, file.string());
    header[array->name] = {
        {"dtype", stored_name(array->dtype)}, {"shape", array->shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  uint64_t length = text.size();

  NewFile out(file);
  out.write(std::as_bytes(std::span(&length, 1)));
  out.write(text);
  for (const NamedArray* array : sorted) {
    if (!array->make) {
      out.write(array->bytes);
      continue;
    }
    const std::vector<std::byte> made = array->make();
    check_size(*array, check(*array, file.string()), made.size(), file.string());
    out.write(made);
  }
  out.commit();
}

}  // namespace tessera
