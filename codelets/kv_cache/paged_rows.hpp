// One row's attention to a run of cache rows, straight from the cache and in its order: what decoding spends
// its time on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "codelets/attention/heads.hpp"
#include "runtime/plan/kernel.hpp"

namespace tessera {

// Some rows of a tile of the cache that hold consecutive positions.
struct CacheRun {
  TileView tile;
  int64_t row, count;  // of the tile
};

// scores[h, i] = q[h] · k[i] for the query heads h of a cut; q: f32 [heads, head_dim], scores: leading
// dimension ld
void score_run(const HeadLayout& layout, const float* q, const CacheRun& k, float* scores, int64_t ld);

// acc[h] += Σ_i p[h, i] v[i]; acc: [heads, head_dim]
void add_run(const HeadLayout& layout, const float* p, int64_t ld, const CacheRun& v, float* acc);

// dst[r, c] = src[r, c], between storage types
void copy_rows(int64_t rows, int64_t cols, const TileView& src, int64_t src_row, int64_t src_col, void* dst,
               DType dtype, int64_t ld);

}  // namespace tessera
