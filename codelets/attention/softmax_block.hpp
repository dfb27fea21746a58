// What attention does between its matrix products, on one head and one block of rows and keys, vectorised.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "codelets/uniform.hpp"
#include "runtime/core/dtype.hpp"

namespace tessera {

inline constexpr int64_t max_block_keys = 512;  // the longest row of scores

struct KeySpan {
  int32_t begin = 0, end = 0;
};
inline constexpr int64_t block_strip_rows = 8;

// Scores of `rows` rows against `keys` keys that begin at `key0`. Row r attends to the keys [first[r],
// last[r]).
struct ScoreBlock {
  float* scores = nullptr;  // q · k, [rows, ld]
  int64_t rows = 0, keys = 0, ld = 0;
  int64_t key0 = 0;
  const int32_t* first = nullptr;
  const int32_t* last = nullptr;
  const KeySpan* strips = nullptr;  // of every 8 rows, the columns that are read later; null: all of them
  float scale = 1;
  DType dtype =
      DType::f32;  // of the probabilities, which replace the scores, [rows, ld · 4 / size_of(dtype)]

  float dropout = 0;
  Draws draws = {};
  uint64_t element =
      0;  // of row 0 and its sequence's first key, which is first[0]; see AttentionOp::first_element
  uint64_t element_step = 0;  // from row to row
};

// Sums over the keys so far.
struct OnlineSoftmax {
  float* largest = nullptr;  // of the unscaled scores
  float* sum = nullptr;      // of exp(scale (score - largest))
  float* acc = nullptr;      // Σ p v, [rows, width]
  int64_t width = 0, acc_ld = 0;
  bool empty = true;  // no keys so far
};

// Turns scores into exp(scale (score - largest)) after dropout, and rescales the sums so far where `largest`
// grows.
void online_softmax(const ScoreBlock& block, const OnlineSoftmax& state);

// dst[r, :] = acc[r, :] / sum[r] and lse[r · lse_ld], for rows [begin, end); both are 0 for rows without
// keys.
struct AttentionResult {
  void* dst = nullptr;
  DType dtype = DType::f32;
  int64_t ld = 0;
  float* lse = nullptr;  // may be null
  int64_t lse_ld = 0;
};
void finish_softmax(const ScoreBlock& block, const OnlineSoftmax& state, int64_t begin, int64_t end,
                    const AttentionResult& result);

// Turns scores into probabilities p (after dropout), and d_p = d_o · v into scale p (d_p - delta).
void softmax_gradient(const ScoreBlock& block, float* d_p, const float* lse, const float* delta);

// delta[r] = Σ_c o[r, c] d_o[r, c]
void row_dots(int64_t rows, int64_t cols, DType dtype, const void* o, const void* d_o, int64_t ld,
              float* delta);

// dst[r, c] = src[r, c], from f32 with leading dimension cols
void store_rows(int64_t rows, int64_t cols, const float* src, void* dst, DType dtype, int64_t ld);

}  // namespace tessera
