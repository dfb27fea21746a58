// Scratch memory of the running kernel: chunks kept by the thread, handed out from the start again for every kernel.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "runtime/plan/kernel.hpp"

namespace tessera {
namespace {

constexpr std::align_val_t alignment{64};

struct AlignedDelete {
  void operator()(std::byte* p) const { ::operator delete[](p, alignment); }
};

struct Chunk {
  std::unique_ptr<std::byte[], AlignedDelete> memory;
  size_t size, used;
};

thread_local std::vector<Chunk> chunks;

}  // namespace

void* scratch_bytes(size_t bytes) {
  bytes = (bytes + 63) / 64 * 64;
  for (Chunk& chunk : chunks)
    if (chunk.size - chunk.used >= bytes) {
      std::byte* p = chunk.memory.get() + chunk.used;
      chunk.used += bytes;
      return p;
    }
  const size_t size = std::max<size_t>(bytes, size_t{1} << 20);
  chunks.push_back({std::unique_ptr<std::byte[], AlignedDelete>(new (alignment) std::byte[size]), size, bytes});
  return chunks.back().memory.get();
}

void release_scratch() {
  for (Chunk& chunk : chunks) chunk.used = 0;
}

}  // namespace tessera
