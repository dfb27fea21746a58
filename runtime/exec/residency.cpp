// Uses of buffers, counted.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/residency.hpp"

#include <algorithm>
#include <limits>

namespace tessera {
namespace {

const Residency::Use& next(const Residency::Uses& uses) {
  return uses.list[static_cast<size_t>(uses.done) % uses.list.size()];
}

// On the axis that begins with the cycle's first round.
int64_t when(const Residency::Uses& uses) {
  return next(uses).at + uses.done / static_cast<int64_t>(uses.list.size()) * uses.cycle->length;
}

}  // namespace

void Residency::add(int buffer, int64_t bytes) {
  if (static_cast<size_t>(buffer) >= buffers_.size()) buffers_.resize(static_cast<size_t>(buffer) + 1);
  (*this)[buffer] = {.bytes = bytes};
  all_ += bytes;
}

void Residency::remove(int buffer) {
  Buffer& b = (*this)[buffer];
  if (b.here) here_ -= b.bytes;
  all_ -= b.bytes;
  b = {};
}

void Residency::expect(int buffer, const Cycle& cycle, Use use) {
  std::vector<Uses>& all = (*this)[buffer].uses;
  auto found = std::ranges::find(all, &cycle, &Uses::cycle);
  if (found == all.end()) found = all.insert(all.end(), {&cycle, {}});
  found->list.push_back(use);
}

void Residency::forget(const Cycle& cycle) {
  for (Buffer& buffer : buffers_)
    std::erase_if(buffer.uses, [&](const Uses& uses) { return uses.cycle == &cycle; });
}

void Residency::begin(int buffer, const Cycle& cycle, Mode mode) {
  Buffer& b = (*this)[buffer];
  if (mode != Mode::read) b.changed = true;
  if (auto found = std::ranges::find(b.uses, &cycle, &Uses::cycle); found != b.uses.end()) ++found->done;
}

int Residency::farthest(const Cycle* running) {
  int best = -1;
  int64_t latest = -1;
  for (size_t k = 0; k < buffers_.size(); ++k) {
    const Buffer& b = buffers_[k];
    if (!b.here || b.pins > 0) continue;
    auto found = std::ranges::find(b.uses, running, &Uses::cycle);
    const int64_t at = found == b.uses.end() ? std::numeric_limits<int64_t>::max() : when(*found);
    if (at <= latest) continue;
    latest = at;
    best = static_cast<int>(k);
  }
  return best;
}

bool Residency::lost(int buffer) {
  const Buffer& b = (*this)[buffer];
  return b.temporary && std::ranges::all_of(b.uses, [](const Uses& uses) { return next(uses).overwrites; });
}

void Residency::arrive(int buffer) {
  Buffer& b = (*this)[buffer];
  if (!b.here) here_ += b.bytes;
  b.here = true;
}

void Residency::leave(int buffer) {
  Buffer& b = (*this)[buffer];
  if (b.here) here_ -= b.bytes;
  b.here = false;
}

}  // namespace tessera
