// Scratch memory of the running kernel: a thread's chunks, handed out from the start again for every kernel.
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

thread_local std::vector<Chunk> chunks;  // in use: those up to `current`
thread_local size_t current = 0;

}  // namespace

void* scratch_bytes(size_t bytes) {
  bytes = (bytes + 63) / 64 * 64;
  while (current < chunks.size() && chunks[current].size - chunks[current].used < bytes) {
    if (++current < chunks.size()) chunks[current].used = 0;
  }
  if (current == chunks.size()) {
    const size_t size = std::max<size_t>(bytes, size_t{1} << 20);
    chunks.push_back({std::unique_ptr<std::byte[], AlignedDelete>(new (alignment) std::byte[size]), size, 0});
  }
  std::byte* p = chunks[current].memory.get() + chunks[current].used;
  chunks[current].used += bytes;
  return p;
}

void release_scratch() {
  current = 0;
  if (!chunks.empty()) chunks[0].used = 0;
}

ScratchScope::ScratchScope() : chunk_(current), used_(current < chunks.size() ? chunks[current].used : 0) {}

ScratchScope::~ScratchScope() {
  current = chunk_;
  if (current < chunks.size()) chunks[current].used = used_;
}

}  // namespace tessera
