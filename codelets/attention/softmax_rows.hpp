// Attention's softmax, row after row of a block of scores: online forward, and its gradient.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "codelets/attention/softmax_block.hpp"
#include "codelets/philox_simd.hpp"
#include "codelets/simd.hpp"
#include "codelets/simd_exp2.hpp"

#if defined(TESSERA_CODELETS_SOFTMAX_ROWS) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_SOFTMAX_ROWS
#undef TESSERA_CODELETS_SOFTMAX_ROWS
#else
#define TESSERA_CODELETS_SOFTMAX_ROWS
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

using Mask = hn::Mask<F32>;

// The columns of a block that a row attends to.
struct Columns {
  int64_t begin, end;

  Columns(const ScoreBlock& block, int64_t r)
      : begin(std::clamp<int64_t>(block.first[r] - block.key0, 0, block.keys)),
        end(std::clamp<int64_t>(block.last[r] - block.key0, 0, block.keys)) {}
  bool empty() const { return begin >= end; }
  int64_t first_vector() const { return begin / lanes() * lanes(); }
  Mask mask(int64_t i) const {  // of the lanes at i that are columns of the row
    return hn::AndNot(hn::FirstN(F32(), static_cast<size_t>(std::max<int64_t>(begin - i, 0))),
                      hn::FirstN(F32(), static_cast<size_t>(std::max<int64_t>(end - i, 0))));
  }
  // Calls inner(i) for vectors wholly inside and edge(i, mask) for the others, in ascending order.
  template <class Inner, class Edge>
  HWY_INLINE void each(Inner inner, Edge edge) const {
    int64_t i = first_vector();
    if (i < begin || i + lanes() > end) {
      edge(i, mask(i));
      i += lanes();
    }
    for (; i + lanes() <= end; i += lanes()) inner(i);
    if (i < end) edge(i, mask(i));
  }
};

template <class T>
HWY_INLINE void zero(T* row, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i += lanes()) store(set(0), row + i);
}

// Zeros beside the columns of a row, as far as they are read later. The left side goes first: what replaces
// the scores in place may be narrower than they are.
template <class T>
HWY_INLINE void zero_before(const ScoreBlock& block, int64_t r, const Columns& columns, T* row) {
  zero(row, block.strips ? block.strips[r / block_strip_rows].begin : 0, columns.first_vector());
}
template <class T>
HWY_INLINE void zero_after(const ScoreBlock& block, int64_t r, const Columns& columns, T* row) {
  zero(row, (columns.end + lanes() - 1) / lanes() * lanes(),
       block.strips ? block.strips[r / block_strip_rows].end : block.keys);
}
template <class T>
HWY_INLINE void zero_all(const ScoreBlock& block, int64_t r, T* row) {
  const KeySpan all{0, static_cast<int32_t>(block.keys)},
      span = block.strips ? block.strips[r / block_strip_rows] : all;
  zero(row, span.begin, span.end);
}

// What dropout keeps of a row's columns.
template <bool dropped>
struct Keep {
  uint16_t drawn[max_block_keys + 2 * max_lanes];
  int64_t at = 0;
  float least = 0, factor = 1;

  HWY_INLINE void draw(const ScoreBlock& block, int64_t r, const Columns& columns) {
    at = columns.first_vector();
    const DropoutRule rule(block.dropout);
    least = static_cast<float>(rule.least);
    factor = rule.factor;
    const auto nth = static_cast<uint64_t>(block.key0 + columns.begin - block.first[r]);
    draws16(block.draws, block.element + static_cast<uint64_t>(r) * block.element_step + nth,
            columns.end - columns.begin, drawn + (columns.begin - at));
  }
  HWY_INLINE Vec apply(Vec p, int64_t i) const {
    return hn::IfThenElseZero(hn::Ge(load(drawn + (i - at)), set(least)), hn::Mul(p, set(factor)));
  }
};
template <>
struct Keep<false> {
  HWY_INLINE void draw(const ScoreBlock&, int64_t, const Columns&) {}
  HWY_INLINE Vec apply(Vec p, int64_t) const { return p; }
};

template <class T, bool dropped>
void online_rows(const ScoreBlock& block, const OnlineSoftmax& state) {
  const float to_log2 = block.scale * log2_e;
  Keep<dropped> keep;
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* s = block.scores + r * block.ld;
    T* p = reinterpret_cast<T*>(block.scores + r * block.ld);
    const Columns columns(block, r);
    const float before = state.empty ? -HUGE_VALF : state.largest[r];
    if (columns.empty()) {
      zero_all(block, r, p);
      if (state.empty) state.largest[r] = before, state.sum[r] = 0;
      continue;
    }
    Vec m = set(before);
    columns.each([&](int64_t i) { m = hn::Max(m, load(s + i)); },
                 [&](int64_t i, Mask live) { m = hn::Max(m, hn::IfThenElse(live, load(s + i), m)); });
    const float largest = hn::GetLane(hn::MaxOfLanes(F32(), m));
    keep.draw(block, r, columns);
    Vec sum = set(0);
    const Vec factor = set(to_log2), shift = set(to_log2 * largest);
    zero_before(block, r, columns, p);
    columns.each(
        [&](int64_t i) {
          const Vec e = exp2_negative(hn::MulSub(load(s + i), factor, shift));
          sum = hn::Add(sum, e);
          store(keep.apply(e, i), p + i);
        },
        [&](int64_t i, Mask live) {
          const Vec e = hn::IfThenElseZero(live, exp2_negative(hn::MulSub(load(s + i), factor, shift)));
          sum = hn::Add(sum, e);
          store(hn::IfThenElseZero(live, keep.apply(e, i)), p + i);
        });
    zero_after(block, r, columns, p);
    const float total = hn::GetLane(hn::SumOfLanes(F32(), sum));
    state.largest[r] = largest;
    if (state.empty) {
      state.sum[r] = total;
    } else if (largest > before) {
      const float shrink = std::exp2(to_log2 * (before - largest));
      state.sum[r] = state.sum[r] * shrink + total;
      float* acc = state.acc + r * state.acc_ld;
      const auto shrunk = [&](auto x) { return hn::Mul(x, set(shrink)); };
      map(state.width, acc, shrunk, acc);
    } else {
      state.sum[r] += total;
    }
  }
}

inline void online(const ScoreBlock& block, const OnlineSoftmax& state) {
  with_float(block.dtype, [&]<class T>(T) {
    if (block.dropout > 0) {
      online_rows<T, true>(block, state);
    } else {
      online_rows<T, false>(block, state);
    }
  });
}

inline void finish(const ScoreBlock& block, const OnlineSoftmax& state, int64_t begin, int64_t end,
                   const AttentionResult& to) {
  with_float(to.dtype, [&]<class T>(T) {
    for (int64_t r = begin; r < end; ++r) {
      T* dst = static_cast<T*>(to.dst) + (r - begin) * to.ld;
      const bool live = state.sum[r] != 0;  // a NaN is to be seen
      const float inverse = live ? 1 / state.sum[r] : 0;
      const auto divided = [&](auto x) { return hn::Mul(x, set(inverse)); };
      map(state.width, dst, divided, state.acc + r * state.acc_ld);
      if (to.lse)
        to.lse[(r - begin) * to.lse_ld] = live ? block.scale * state.largest[r] + std::log(state.sum[r]) : 0;
    }
  });
}

template <class T, bool dropped>
void gradient_rows(const ScoreBlock& block, float* d_p, const float* lse, const float* delta) {
  Keep<dropped> keep;
  const Vec scale = set(block.scale), factor = set(block.scale * log2_e);
  for (int64_t r = 0; r < block.rows; ++r) {
    const float *s = block.scores + r * block.ld, *g = d_p + r * block.ld;
    T* p = reinterpret_cast<T*>(block.scores + r * block.ld);
    T* d_s = reinterpret_cast<T*>(d_p + r * block.ld);
    const Columns columns(block, r);
    if (columns.empty()) {
      zero_all(block, r, p);
      zero_all(block, r, d_s);
      continue;
    }
    keep.draw(block, r, columns);
    const Vec shift = set(lse[r] * log2_e), less = set(delta[r]);
    const auto step = [&](int64_t i, auto only) {
      const Vec e = only(exp2_negative(hn::MulSub(load(s + i), factor, shift)));
      const Vec d = hn::Mul(hn::Mul(e, scale), hn::Sub(keep.apply(load(g + i), i), less));
      store(only(keep.apply(e, i)), p + i);
      store(only(d), d_s + i);
    };
    zero_before(block, r, columns, p);
    zero_before(block, r, columns, d_s);
    columns.each([&](int64_t i) { step(i, [](Vec x) { return x; }); },
                 [&](int64_t i, Mask live) { step(i, [&](Vec x) { return hn::IfThenElseZero(live, x); }); });
    zero_after(block, r, columns, p);
    zero_after(block, r, columns, d_s);
  }
}

inline void gradient(const ScoreBlock& block, float* d_p, const float* lse, const float* delta) {
  with_float(block.dtype, [&]<class T>(T) {
    if (block.dropout > 0) {
      gradient_rows<T, true>(block, d_p, lse, delta);
    } else {
      gradient_rows<T, false>(block, d_p, lse, delta);
    }
  });
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
