// Copying a stored tensor into memory of the dtype that is wanted.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>

#include "models/checkpoint/safetensors.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/f16.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class From, class To>
void convert(std::span<const std::byte> src, std::span<std::byte> dst) {
  for (size_t i = 0; i < src.size() / sizeof(From); ++i) {
    To value(static_cast<float>(load<From>(src.data() + i * sizeof(From))));
    std::memcpy(dst.data() + i * sizeof(To), &value, sizeof value);
  }
}

template <class From>
void convert_from(std::span<const std::byte> src, DType to, std::span<std::byte> dst) {
  if (to == DType::f32) return convert<From, float>(src, dst);
  if (to == DType::bf16) return convert<From, bf16>(src, dst);
  return convert<From, f16>(src, dst);
}

bool stores(std::string_view stored, DType type) {
  return (stored == "F32" && type == DType::f32) || (stored == "BF16" && type == DType::bf16) ||
         (stored == "F16" && type == DType::f16) || (stored == "I32" && type == DType::i32);
}

void narrow(const TensorEntry& entry, std::span<std::byte> dst) {
  for (size_t i = 0; i < entry.bytes.size() / 8; ++i) {
    int64_t wide = load<int64_t>(entry.bytes.data() + i * 8);
    if (wide < std::numeric_limits<int32_t>::min() || wide > std::numeric_limits<int32_t>::max())
      throw error("{}: tensor {} holds {}, which does not fit in 32 bits", entry.file, shown(entry.name),
                  wide);
    int32_t value = static_cast<int32_t>(wide);
    std::memcpy(dst.data() + i * 4, &value, sizeof value);
  }
}

}  // namespace

void TensorEntry::check(std::span<const int64_t> expected, DType to) const {
  if (!std::ranges::equal(shape, expected))
    throw error(
        "{}: tensor {} is [{}], the model needs [{}]; take the weights that belong to its config.json", file,
        shown(name), fmt::join(shape, ", "), fmt::join(expected, ", "));
  const bool floating = stored == "F32" || stored == "BF16" || stored == "F16";
  if (!stores(stored, to) && !(floating && is_float(to)) && !(stored == "I64" && to == DType::i32))
    throw error("{}: tensor {} is stored as {}, which is not read as {}; store it as F32, BF16 or F16", file,
                shown(name), stored, name_of(to));
}

void TensorEntry::read(std::span<const int64_t> expected, DType to, std::span<std::byte> dst) const {
  check(expected, to);
  size_t elements = 1;
  for (int64_t extent : shape) elements *= static_cast<size_t>(extent);
  if (dst.size() != elements * size_of(to))
    throw error("{}: tensor {} has {} elements, the memory given for it holds {} bytes", file, shown(name),
                elements, dst.size());
  if (stores(stored, to)) {
    std::ranges::copy(bytes, dst.begin());
  } else if (stored == "F32") {
    convert_from<float>(bytes, to, dst);
  } else if (stored == "BF16") {
    convert_from<bf16>(bytes, to, dst);
  } else if (stored == "F16") {
    convert_from<f16>(bytes, to, dst);
  } else {
    narrow(*this, dst);
  }
}

}  // namespace tessera
