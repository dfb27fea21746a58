// What CPU kernels share: element-wise loops and sums over f32 and bf16 rows, for the vector unit at hand.
// SPDX-License-Identifier: Apache-2.0
//
// Included once per target by hwy/foreach_target.h, after which HWY_DYNAMIC_DISPATCH picks one at run time.
#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "runtime/core/dtype.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/f16.hpp"
#include "runtime/plan/kernel.hpp"

#ifndef TESSERA_CODELETS_WITH_FLOAT
#define TESSERA_CODELETS_WITH_FLOAT
namespace tessera {

// Calls f(float{}) or f(bf16{}) for a tile's storage type.
template <class F>
void with_float(DType type, F&& f) {
  if (type == DType::f32) {
    f(float{});
  } else if (type == DType::bf16) {
    f(bf16{});
  } else {
    throw error("CPU kernels store f32 or bf16, not {}", name_of(type));
  }
}

}  // namespace tessera
#endif

#if defined(TESSERA_CODELETS_SIMD) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_SIMD
#undef TESSERA_CODELETS_SIMD
#else
#define TESSERA_CODELETS_SIMD
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vec = hn::Vec<F32>;
inline constexpr int64_t max_lanes = HWY_MAX_BYTES / 4;

HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(F32())); }
HWY_INLINE Vec set(float x) { return hn::Set(F32(), x); }

HWY_INLINE Vec load(const float* p) { return hn::LoadU(F32(), p); }
HWY_INLINE Vec load(const bf16* p) {
  const hn::Rebind<uint16_t, F32> d16;
  const hn::RebindToUnsigned<F32> d32;
  return hn::BitCast(
      F32(), hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)))));
}
HWY_INLINE Vec load(const f16* p) {
  const hn::Rebind<hwy::float16_t, F32> d16;
  return hn::PromoteTo(F32(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
}
HWY_INLINE Vec load(const uint16_t* p) {  // integers
  const hn::Rebind<uint16_t, F32> d16;
  const hn::RebindToSigned<F32> d32;
  return hn::ConvertTo(F32(), hn::PromoteTo(d32, hn::LoadU(d16, p)));
}
HWY_INLINE void store(Vec v, float* p) { hn::StoreU(v, F32(), p); }
HWY_INLINE void store(Vec v, bf16* p) {  // to nearest even; a NaN stays a NaN
  const hn::Rebind<uint16_t, F32> d16;
  const hn::RebindToUnsigned<F32> d32;
  const auto bits = hn::BitCast(d32, v);
  const auto half = hn::ShiftRight<16>(bits);
  const auto rounded = hn::ShiftRight<16>(bits + hn::Set(d32, 0x7fff) + hn::And(half, hn::Set(d32, 1)));
  const auto nan = hn::RebindMask(d32, hn::IsNaN(v));
  const auto kept = hn::IfThenElse(nan, hn::Or(half, hn::Set(d32, 0x40)), rounded);
  hn::StoreU(hn::TruncateTo(d16, kept), d16, reinterpret_cast<uint16_t*>(p));
}

HWY_INLINE void store(Vec v, f16* p) {  // to nearest even
  const hn::Rebind<hwy::float16_t, F32> d16;
  hn::StoreU(hn::DemoteTo(d16, v), d16, reinterpret_cast<hwy::float16_t*>(p));
}

// The first n < lanes() elements; the rest reads as zero and is not written.
template <class T>
HWY_INLINE Vec load_some(const T* p, int64_t n) {
  T part[max_lanes] = {};
  for (int64_t i = 0; i < n; ++i) part[i] = p[i];
  return load(part);
}
template <class T>
HWY_INLINE void store_some(Vec v, T* p, int64_t n) {
  T part[max_lanes];
  store(v, part);
  for (int64_t i = 0; i < n; ++i) p[i] = part[i];
}

// Loads and stores of a vector in a loop: all of its lanes, or the first n at the end.
struct AllLanes {};
struct SomeLanes {
  int64_t n;
};
template <class T>
HWY_INLINE Vec load(const T* p, AllLanes) {
  return load(p);
}
template <class T>
HWY_INLINE Vec load(const T* p, SomeLanes some) {
  return load_some(p, some.n);
}
template <class T>
HWY_INLINE void store(Vec v, T* p, AllLanes) {
  store(v, p);
}
template <class T>
HWY_INLINE void store(Vec v, T* p, SomeLanes some) {
  store_some(v, p, some.n);
}

// f(i, part) for i = 0, lanes(), … < n, where `part` goes to load and store: for loops with several results.
template <class F>
HWY_INLINE void each_vector(int64_t n, F f) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) f(i, AllLanes());
  if (i < n) f(i, SomeLanes{n - i});
}

// dst[i] = f(src[i]...), i < n
template <class F, class T, class... S>
HWY_INLINE void map(int64_t n, T* dst, F f, const S*... src) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) store(f(load(src + i)...), dst + i);
  if (i < n) store_some(f(load_some(src + i, n - i)...), dst + i, n - i);
}

// Σ f(src[i]...), i < n; four partial sums per lane, in a fixed order
template <class F, class... S>
HWY_INLINE float sum_of(int64_t n, F f, const S*... src) {
  const int64_t step = lanes();
  Vec s0 = set(0), s1 = set(0), s2 = set(0), s3 = set(0);
  int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, f(load(src + i)...));
    s1 = hn::Add(s1, f(load(src + i + step)...));
    s2 = hn::Add(s2, f(load(src + i + 2 * step)...));
    s3 = hn::Add(s3, f(load(src + i + 3 * step)...));
  }
  for (; i + step <= n; i += step) s0 = hn::Add(s0, f(load(src + i)...));
  if (i < n) {
    const auto live = hn::FirstN(F32(), static_cast<size_t>(n - i));
    s1 = hn::Add(s1, hn::IfThenElseZero(live, f(load_some(src + i, n - i)...)));
  }
  return hn::GetLane(hn::SumOfLanes(F32(), hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// max over i < n of f(src[i]...); n ≥ 1
template <class F, class... S>
HWY_INLINE float max_of(int64_t n, F f, const S*... src) {
  const int64_t step = lanes();
  Vec m = set(-__builtin_huge_valf());
  int64_t i = 0;
  for (; i + step <= n; i += step) m = hn::Max(m, f(load(src + i)...));
  if (i < n) {
    const auto live = hn::FirstN(F32(), static_cast<size_t>(n - i));
    m = hn::Max(m, hn::IfThenElse(live, f(load_some(src + i, n - i)...), m));
  }
  return hn::GetLane(hn::MaxOfLanes(F32(), m));
}

// sums[0] = Σ a, …, sums[3] = Σ d over lanes, as fast as one of them; what one is does not depend on the
// others.
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void lane_sums(Vec a, Vec b, Vec c, Vec d, float* sums) {
  for (const Vec& one : {a, b, c, d}) *sums++ = hn::GetLane(one);
}
#else
// The vector's lower half plus its upper half, down to four lanes.
template <class D>
HWY_INLINE auto folded(D d, hn::Vec<D> x) {
  if constexpr (hn::MaxLanes(d) <= 4) {
    return x;
  } else {
    const hn::Half<D> half;
    return folded(half, hn::Add(hn::LowerHalf(half, x), hn::UpperHalf(half, x)));
  }
}

// p, q, p, q in each block of four lanes
HWY_INLINE Vec pair_sums(Vec p, Vec q) {
  return hn::Add(hn::InterleaveLower(F32(), p, q), hn::InterleaveUpper(F32(), p, q));
}

HWY_INLINE void lane_sums(Vec a, Vec b, Vec c, Vec d, float* sums) {
  const hn::Repartition<double, F32> d64;
  const auto ab = hn::BitCast(d64, pair_sums(a, b)), cd = hn::BitCast(d64, pair_sums(c, d));
  const Vec all = hn::Add(hn::BitCast(F32(), hn::InterleaveLower(d64, ab, cd)),
                          hn::BitCast(F32(), hn::InterleaveUpper(d64, ab, cd)));
  hn::StoreU(folded(F32(), all), hn::CappedTag<float, 4>(), sums);
}
#endif

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
