// Names of the storage types.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/dtype.hpp"

#include "runtime/core/error.hpp"

namespace tessera {

std::string_view name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::i32:
      return "i32";
  }
  return "?";
}

DType dtype_named(std::string_view name) {
  for (DType type : {DType::f32, DType::bf16, DType::f16, DType::i32})
    if (name == name_of(type)) return type;
  throw error("unknown dtype '{}': f32, bf16, f16 and i32 are known", name);
}

}  // namespace tessera
