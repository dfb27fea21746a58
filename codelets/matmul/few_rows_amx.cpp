// Products of a few bf16 rows by the CPU's matrix unit (AMX). A tile of sums belongs to sixteen rows of
// weights, which the unit takes as they lie in memory, and to sixteen rows of x, of which a copy has pairs of
// neighbours one below the other.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "codelets/matmul/few_rows_bf16.hpp"
#include "runtime/plan/kernel.hpp"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WITH_AMX __attribute__((target("amx-tile,amx-bf16")))

namespace tessera {
namespace {

constexpr int64_t side = 16, depth = 32;  // of a tile: rows, and bf16 in each

struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64};
  uint8_t rows[16] = {side, side, side};
};

// The system saves tiles only of processes that have asked for it.
bool may_use_tiles() {
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}

bool has_tiles() {
  constexpr unsigned amx_bf16 = 1U << 22, amx_tile = 1U << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amx_bf16) && (d & amx_tile);
}

// [k / 2, 16] pairs of neighbours: element 2 p + i of row r at [p, r, i].
bf16* pairs_of(const BF16Dots& g, const bf16* x) {
  bf16* pairs = scratch<bf16>(g.k * side);
  std::memset(static_cast<void*>(pairs), 0, static_cast<size_t>(g.k * side) * sizeof(bf16));
  for (int64_t r = 0; r < g.m; ++r)
    for (int64_t l = 0; l < g.k; l += 2)
      std::memcpy(static_cast<void*>(pairs + l * side + 2 * r), x + r * g.ldx + l, 2 * sizeof(bf16));
  return pairs;
}

// sums[c, r] = x[r, :] · b[c, :] for sixteen rows of b, while the sixteen after them come closer.
WITH_AMX void sixteen_columns(const BF16Dots& g, const bf16* pairs, const bf16* b, bool last, float* sums) {
  _tile_zero(0);
  const bf16* next = b + side * g.ldb;
  for (int64_t l = 0; l < g.k; l += depth) {
    _tile_loadd(1, b + l, g.ldb * sizeof(bf16));
    _tile_loadd(2, pairs + l * side, 64);
    if (!last)
      for (int64_t line = 0; line < side; ++line) __builtin_prefetch(next + l * side + line * depth, 0, 2);
    _tile_dpbf16ps(0, 1, 2);
  }
  _tile_stored(0, sums, 64);
}

}  // namespace

bool has_bf16_tiles() {
  static const bool has = has_tiles() && may_use_tiles();
  return has;
}

WITH_AMX int64_t add_bf16_tiles(const BF16Dots& g, const bf16* x, const bf16* b, float* y) {
  if (g.k % depth != 0) return 0;
  const int64_t columns = g.n / side * side;
  const bf16* pairs = pairs_of(g, x);
  alignas(64) float sums[side * side];
  const TileConfiguration ours;
  TileConfiguration theirs;  // oneDNN keeps its own for the next product
  _tile_storeconfig(&theirs);
  _tile_loadconfig(&ours);
  for (int64_t j = 0; j < columns; j += side) {
    sixteen_columns(g, pairs, b + j * g.ldb, j + side == columns, sums);
    for (int64_t r = 0; r < g.m; ++r)
      for (int64_t c = 0; c < side; ++c) y[r * g.n + j + c] += sums[c * side + r];
  }
  _tile_loadconfig(&theirs);
  return columns;
}

}  // namespace tessera

#else

namespace tessera {
bool has_bf16_tiles() { return false; }
int64_t add_bf16_tiles(const BF16Dots&, const bf16*, const bf16*, float*) { return 0; }
}  // namespace tessera

#endif
