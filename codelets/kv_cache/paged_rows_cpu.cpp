// kv_append, and the vector loops of paged_attention, on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/kv_cache/paged_rows_cpu.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <type_traits>

#include "codelets/kv_cache/kv_cache_op.hpp"
#include "codelets/kv_cache/paged_rows.hpp"
#include "codelets/simd.hpp"

#ifndef TESSERA_CODELETS_WITH_STORED
#define TESSERA_CODELETS_WITH_STORED
namespace tessera {

// A cache may be narrower than what is computed in: the one place on the CPU where f16 is stored.
template <class F>
void with_stored(DType type, F&& f) {
  if (type == DType::f16)
    f(f16{});
  else
    with_float(type, f);
}

}  // namespace tessera
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

// The hardware stops fetching ahead where a page of memory ends: this fetches the same place of the next
// page, which at the end of a run is mostly the sequence's next block.
template <class T>
HWY_INLINE void fetch_ahead(const T* rows, int64_t elements) {
  constexpr auto per_line = static_cast<int64_t>(64 / sizeof(T)),
                 page = static_cast<int64_t>(4096 / sizeof(T));
  for (int64_t i = 0; i < elements; i += per_line) __builtin_prefetch(rows + page + i, 0, 2);
}

// scores[i] = q · k[i] for up to four keys, whose sums over lanes then cost as much as one's.
template <int keys, class T>
HWY_INLINE void dots(const float* q, const T* k, int64_t ldk, int64_t width, float* scores) {
  Vec sums[4] = {set(0), set(0), set(0), set(0)};
  each_vector(width, [&](int64_t d, auto part) HWY_ATTR {
    const Vec by = load(q + d, part);
    for (int i = 0; i < keys; ++i) sums[i] = hn::MulAdd(by, load(k + i * ldk + d, part), sums[i]);
  });
  float by_key[4];
  lane_sums(sums[0], sums[1], sums[2], sums[3], by_key);
  for (int i = 0; i < keys; ++i) scores[i] = by_key[i];
}

// Few keys at a time with all heads of each: memory is fastest where it is read from one end to the other.
void score(const HeadLayout& layout, const float* q, const CacheRun& k, float* scores, int64_t ld) {
  const int64_t width = layout.head_dim, cols = k.tile.cols, heads = cols / width * layout.group();
  with_stored(k.tile.dtype, [&]<class T>(T) {
    const T* key = k.tile.as<const T>() + k.row * cols;
    const auto step = [&]<int keys>(std::integral_constant<int, keys>, int64_t i) HWY_ATTR {
      fetch_ahead(key + i * cols, keys * cols);
      for (int64_t h = 0; h < heads; ++h)
        dots<keys>(q + h * width, key + i * cols + h / layout.group() * width, cols, width,
                   scores + h * ld + i);
    };
    int64_t i = 0;
    for (; i + 4 <= k.count; i += 4) step(std::integral_constant<int, 4>(), i);
    for (; i < k.count; ++i) step(std::integral_constant<int, 1>(), i);
  });
}

// acc[d] += Σ_i p[i] v[i, d] for some vectors of d, whose sums stay in registers.
template <int vectors, class T, class Part>
HWY_INLINE void add_columns(int64_t keys, const float* p, const T* v, int64_t ldv, float* acc, Part part) {
  Vec sums[vectors];
  for (int j = 0; j < vectors; ++j) sums[j] = load(acc + j * lanes(), part);
  for (int64_t i = 0; i < keys; ++i) {
    const Vec by = set(p[i]);
    for (int j = 0; j < vectors; ++j)
      sums[j] = hn::MulAdd(by, load(v + i * ldv + j * lanes(), part), sums[j]);
  }
  for (int j = 0; j < vectors; ++j) store(sums[j], acc + j * lanes(), part);
}

// acc += Σ_i p[i] v[i], for as many values at a time as the first cache holds with all heads of each.
void add_all(const HeadLayout& layout, const float* p, int64_t ld, const CacheRun& v, float* acc) {
  constexpr int64_t together = 8;
  const int64_t width = layout.head_dim, cols = v.tile.cols, heads = cols / width * layout.group();
  with_stored(v.tile.dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < v.count; i += together) {
      const int64_t values = std::min(together, v.count - i);
      const T* value = v.tile.as<const T>() + (v.row + i) * cols;
      fetch_ahead(value, values * cols);
      for (int64_t h = 0; h < heads; ++h) {
        const T* from = value + h / layout.group() * width;
        const float* by = p + h * ld + i;
        int64_t d = 0;
        for (; d + 4 * lanes() <= width; d += 4 * lanes())
          add_columns<4>(values, by, from + d, cols, acc + h * width + d, AllLanes());
        each_vector(width - d, [&](int64_t at, auto part) HWY_ATTR {
          add_columns<1>(values, by, from + d + at, cols, acc + h * width + d + at, part);
        });
      }
    }
  });
}

void copy(int64_t rows, int64_t cols, const TileView& src, int64_t src_row, int64_t src_col, void* dst,
          DType dtype, int64_t ld) {
  with_stored(src.dtype, [&]<class S>(S) {
    with_stored(dtype, [&]<class T>(T) {
      for (int64_t r = 0; r < rows; ++r)
        map(
            cols, static_cast<T*>(dst) + r * ld, [](auto x) { return x; },
            src.as<const S>() + (src_row + r) * src.cols + src_col);
    });
  });
}

// All rows that are about to be written come closer together, not each when its turn comes.
void fetch_rows(const TileView& slots, const TileView& cache) {
  const auto bytes = cache.cols * static_cast<int64_t>(size_of(cache.dtype));
  for (int64_t r = 0; r < slots.size(); ++r)
    if (const int64_t row = slots.as<const int32_t>()[r] - cache.row0; row >= 0 && row < cache.rows)
      for (int64_t at = 0; at < bytes; at += 64)
        __builtin_prefetch(cache.as<const std::byte>() + row * bytes + at, 1, 2);
}

template <class S, class T>
HWY_INLINE void keep(const HeadLayout& layout, const TileView& qkv, const int32_t* slots, const TileView& k,
                     const TileView& v) {
  const auto same = [](auto x) { return x; };
  for (int64_t r = 0; r < qkv.rows; ++r) {
    const int64_t row = slots[r] - k.row0;
    if (row < 0 || row >= k.rows) continue;
    const S* from = qkv.as<const S>() + r * qkv.cols;
    for (int64_t to = row * k.cols; to < (row + 1) * k.cols; to += layout.head_dim) {
      map(layout.head_dim, k.as<T>() + to, same, from + layout.key_at());
      map(layout.head_dim, v.as<T>() + to, same, from + layout.value_at());
      from += layout.qkv_unit();
    }
  }
}

void append(const TileArgs& args) {
  const HeadLayout layout = args.attributes<KvAppend>().layout();
  const auto n = static_cast<size_t>(args.params[0]);
  const TileView &k = args[2 * n], &v = args[2 * n + 1];
  for (size_t i = 0; i < n; ++i) {
    const TileView &qkv = args[i], &slots = args[n + i];
    fetch_rows(slots, k), fetch_rows(slots, v);
    with_stored(qkv.dtype, [&]<class S>(S) {
      with_stored(k.dtype, [&]<class T>(T) { keep<S, T>(layout, qkv, slots.as<const int32_t>(), k, v); });
    });
  }
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(score);
HWY_EXPORT(add_all);
HWY_EXPORT(copy);
HWY_EXPORT(append);

void score_run(const HeadLayout& layout, const float* q, const CacheRun& k, float* scores, int64_t ld) {
  HWY_DYNAMIC_DISPATCH(score)(layout, q, k, scores, ld);
}
void add_run(const HeadLayout& layout, const float* p, int64_t ld, const CacheRun& v, float* acc) {
  HWY_DYNAMIC_DISPATCH(add_all)(layout, p, ld, v, acc);
}
void copy_rows(int64_t rows, int64_t cols, const TileView& src, int64_t src_row, int64_t src_col, void* dst,
               DType dtype, int64_t ld) {
  HWY_DYNAMIC_DISPATCH(copy)(rows, cols, src, src_row, src_col, dst, dtype, ld);
}
void kv_append_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(append)(args); }
}  // namespace tessera
#endif
