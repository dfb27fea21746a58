// Products of a few rows with a factor in panels of 64 columns, read from one end to the other: every word of
// a panel's row meets the same word of x, so that no sums over lanes are left to be made.
// SPDX-License-Identifier: Apache-2.0
//
// A sum has its products in the order of k, one after the other, however many rows there are: sequences
// decoded together have the bits that each has alone.
#include "codelets/matmul/few_rows_packed.hpp"

#if defined(__x86_64__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's intrinsics begin with undefined vectors
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstring>

#include "codelets/matmul/few_rows_bf16.hpp"
#include "runtime/plan/kernel.hpp"

// The compiler makes none of bf16's instructions by itself, so that f32 may run without them.
#define WITH_BF16 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")))

namespace tessera {
namespace {

constexpr int64_t lanes = 16;  // words of a vector
constexpr int all_vectors = packed_columns / lanes;
constexpr int64_t page = 4096 / sizeof(uint32_t);

struct Pass {
  const uint32_t* x;  // word l of row r at [m l + r]
  int64_t m, words;
  const uint32_t* panel;
  const uint32_t* next;  // what to fetch meanwhile
  float* y;
  int64_t ldy;
};

template <DType type>
WITH_BF16 inline __m512 multiply_add(__m512 sums, uint32_t x, __m512i weights) {
  const __m512i all = _mm512_set1_epi32(static_cast<int>(x));
  if constexpr (type == DType::bf16)
    return _mm512_dpbf16_ps(sums, (__m512bh)all, (__m512bh)weights);
  else
    return _mm512_fmadd_ps(_mm512_castsi512_ps(all), _mm512_castsi512_ps(weights), sums);
}

// Some rows of x times some vectors of a panel's columns; `lines` of memory come into the second cache for
// each row of the panel.
template <DType type, int rows, int vectors, int lines>
WITH_BF16 void multiply_panel(const Pass& pass) {
  __m512 sums[rows][vectors];
  for (auto& row : sums)
    for (__m512& sum : row) sum = _mm512_setzero_ps();
  const uint32_t *x = pass.x, *at = pass.panel, *next = pass.next;
  for (int64_t l = 0; l < pass.words; ++l, x += pass.m, at += packed_columns, next += lanes * lines) {
    __m512i weights[vectors];
    for (int v = 0; v < vectors; ++v) weights[v] = _mm512_loadu_si512(at + v * lanes);
    for (int line = 0; line < lines; ++line) __builtin_prefetch(next + line * lanes, 0, 2);
    for (int r = 0; r < rows; ++r)
      for (int v = 0; v < vectors; ++v) sums[r][v] = multiply_add<type>(sums[r][v], x[r], weights[v]);
  }
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v) {
      float* y = pass.y + r * pass.ldy + v * lanes;
      _mm512_storeu_ps(y, _mm512_add_ps(_mm512_loadu_ps(y), sums[r][v]));
    }
}

// So many rows, of at most `most`, times a whole row of the panel.
template <DType type, int lines, int most = 6>
void multiply_few(int64_t rows, const Pass& pass) {
  if (rows == most)
    multiply_panel<type, most, all_vectors, lines>(pass);
  else if constexpr (most > 1)
    multiply_few<type, lines, most - 1>(rows, pass);
}

// Seven or eight rows, for whose sums with a whole row of the panel there are no registers.
template <DType type, int lines>
void multiply_halves(int64_t rows, Pass pass) {
  for (int half = 0; half < 2; ++half) {
    rows == 8 ? multiply_panel<type, 8, 2, lines>(pass) : multiply_panel<type, 7, 2, lines>(pass);
    pass.panel += packed_columns / 2, pass.y += packed_columns / 2;
    pass.next += pass.words * lines * lanes;
  }
}

// Up to six rows fetch what lies a page ahead, where the hardware stops; of more, each pass over a panel
// fetches its part of the next one.
template <DType type>
void multiply_all(Pass pass) {
  const int64_t m = pass.m, panel = pass.words * packed_columns;
  if (m <= 6) {
    pass.next = pass.panel + page;
    return multiply_few<type, 4>(m, pass);
  }
  pass.next = pass.panel + panel;
  if (m <= 14)
    multiply_halves<type, 2>(std::min<int64_t>(m, 8), pass);
  else
    multiply_halves<type, 1>(8, pass);
  if (m <= 8) return;
  pass.x += 8, pass.y += 8 * pass.ldy, pass.next += panel / 2;
  if (m <= 14)
    multiply_few<type, 0>(m - 8, pass);
  else
    multiply_halves<type, 1>(m - 8, pass);
}

// The words of x: elements, or pairs of them.
template <class T>
void words_of(const Gemm& g, const T* a, int64_t first, uint32_t* words) {
  constexpr int64_t in_word = sizeof(uint32_t) / sizeof(T);
  const int64_t row = g.transpose_a ? 1 : g.lda, step = g.transpose_a ? g.lda : 1;
  for (int64_t r = 0; r < g.m; ++r) {
    const T* from = a + r * row;
    for (int64_t l = first * in_word; l < g.k; l += in_word) {
      T word[in_word] = {};
      for (int64_t i = 0; i < in_word && l + i < g.k; ++i) word[i] = from[(l + i) * step];
      std::memcpy(words + l / in_word * g.m + r, word, sizeof word);
    }
  }
}

WITH_BF16 inline __m512i two(__m512i low, __m512i high, bool last) {
  return last ? _mm512_unpackhi_epi64(low, high) : _mm512_unpacklo_epi64(low, high);
}

// Sixteen words of sixteen rows, those of a column together.
WITH_BF16 void transpose(__m512i (&rows)[lanes]) {
  __m512i pairs[lanes], fours[lanes], eights[lanes];
  for (int i = 0; i < lanes; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < lanes; i += 4)
    for (int c = 0; c < 4; ++c) fours[i + c] = two(pairs[i + c / 2], pairs[i + 2 + c / 2], c % 2 != 0);
  for (int i = 0; i < lanes; i += 8)
    for (int c = 0; c < 4; ++c) {
      eights[i + c] = _mm512_shuffle_i32x4(fours[i + c], fours[i + 4 + c], 0x88);
      eights[i + 4 + c] = _mm512_shuffle_i32x4(fours[i + c], fours[i + 4 + c], 0xdd);
    }
  for (int c = 0; c < 8; ++c) {
    rows[c % 4 + c / 4 * 4] = _mm512_shuffle_i32x4(eights[c], eights[8 + c], 0x88);
    rows[8 + c] = _mm512_shuffle_i32x4(eights[c], eights[8 + c], 0xdd);
  }
}

// The same, of rows that lie word by word: sixteen words of all of them at a time. What is beyond the last
// row of x lies where the next words come, and, of the last ones, in room for it.
template <class T>
WITH_BF16 void words_of_rows(const Gemm& g, const T* a, uint32_t* words) {
  constexpr int64_t in_word = sizeof(uint32_t) / sizeof(T);
  int64_t l = 0;
  for (; (l + lanes) * in_word <= g.k; l += lanes) {
    __m512i block[lanes];
    for (int r = 0; r < lanes; ++r)
      block[r] = _mm512_loadu_si512(a + std::min<int64_t>(r, g.m - 1) * g.lda + l * in_word);
    transpose(block);
    for (int w = 0; w < lanes; ++w) _mm512_storeu_si512(words + (l + w) * g.m, block[w]);
  }
  words_of(g, a, l, words);
}

template <class T>
void all_words_of(const Gemm& g, const void* a, uint32_t* words) {
  g.transpose_a ? words_of(g, static_cast<const T*>(a), 0, words)
                : words_of_rows(g, static_cast<const T*>(a), words);
}

}  // namespace

// Matrix units take bf16 rows as they lie.
bool has_packed_rows(DType type) {
  return packs_for_library(type) && (type == DType::f32 || (has_bf16_dots() && !has_bf16_tiles()));
}

void add_packed_rows(const Gemm& g, const void* a, const void* packed, float* y) {
  const auto in_word = static_cast<int64_t>(sizeof(uint32_t) / size_of(g.b));
  const int64_t words = (g.k + in_word - 1) / in_word;
  const int64_t panel = (words + packed_rows - 1) / packed_rows * packed_rows * packed_columns;
  const int64_t panels = (g.n + packed_columns - 1) / packed_columns;
  auto* x = scratch<uint32_t>(words * g.m + lanes);
  g.a == DType::f32 ? all_words_of<float>(g, a, x) : all_words_of<bf16>(g, a, x);
  for (int64_t p = 0; p < panels; ++p) {
    const Pass pass{.x = x,
                    .m = g.m,
                    .words = words,
                    .panel = static_cast<const uint32_t*>(packed) + p * panel,
                    .next = nullptr,
                    .y = y + p * packed_columns,
                    .ldy = panels * packed_columns};
    g.b == DType::f32 ? multiply_all<DType::f32>(pass) : multiply_all<DType::bf16>(pass);
  }
}

}  // namespace tessera

#else

namespace tessera {
bool has_packed_rows(DType) { return false; }
void add_packed_rows(const Gemm&, const void*, const void*, float*) {}
}  // namespace tessera

#endif
