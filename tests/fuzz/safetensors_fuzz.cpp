// Any bytes are a safetensors file whose tensors can all be read, or are refused by an Error.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>

#include "models/checkpoint/safetensors.hpp"
#include "runtime/core/error.hpp"

namespace {

void read_all(std::span<const std::byte> file) {
  using tessera::DType;
  try {
    for (const tessera::TensorEntry& entry : tessera::SafetensorsFile::parse(file, "fuzz")) {
      size_t elements = 1;
      for (int64_t extent : entry.shape) elements *= static_cast<size_t>(extent);
      for (DType to : {DType::f32, DType::bf16, DType::f16, DType::i32}) {
        if (entry.bytes.empty()) continue;
        std::vector<std::byte> copy(elements * tessera::size_of(to));
        try {
          entry.read(entry.shape, to, copy);
        } catch (const tessera::Error&) {
        }
      }
    }
  } catch (const tessera::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> file(size);  // of its own, so that the sanitizer sees a step beyond its end
  if (size > 0) std::memcpy(file.data(), data, size);
  read_all(file);
  // Once more with the right length in front and some data behind: most inputs fail at neither then.
  uint64_t length = size;
  file.insert(file.begin(), sizeof length, std::byte{0});
  std::memcpy(file.data(), &length, sizeof length);
  read_all(file);
  file.resize(file.size() + 24, std::byte{0x41});
  read_all(file);
  return 0;
}
