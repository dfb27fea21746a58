// kv_append, and the vector loops of paged_attention, on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/kv_cache/paged_rows_cpu.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include "codelets/kv_cache/kv_cache_op.hpp"
#include "codelets/kv_cache/paged_rows.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE float dot(const float* q, const T* k, int64_t width) {
  Vec sum = set(0);
  each_vector(width, [&](int64_t d, auto part)
                         HWY_ATTR { sum = hn::MulAdd(load(q + d, part), load(k + d, part), sum); });
  return hn::GetLane(hn::SumOfLanes(F32(), sum));
}

// The hardware stops fetching ahead where a page of memory ends: this fetches the same place of the next
// page, which at the end of a run is mostly the sequence's next block.
template <class T>
HWY_INLINE void fetch_ahead(const T* row, int64_t cols) {
  constexpr auto per_line = static_cast<int64_t>(64 / sizeof(T)),
                 page = static_cast<int64_t>(4096 / sizeof(T));
  for (int64_t i = 0; i < cols; i += per_line) hwy::Prefetch(row + page + i);
}

// Key by key, and value by value, with all heads of each: memory is fastest where it is read from one end to
// the other.
void score(const HeadLayout& layout, const float* q, const CacheRun& k, float* scores, int64_t ld) {
  const int64_t width = layout.head_dim, heads = k.tile.cols / width * layout.group();
  with_float(k.tile.dtype, [&]<class T>(T) {
    const T* key = k.tile.as<const T>() + k.row * k.tile.cols;
    for (int64_t i = 0; i < k.count; ++i, key += k.tile.cols) {
      fetch_ahead(key, k.tile.cols);
      for (int64_t h = 0; h < heads; ++h)
        scores[h * ld + i] = dot(q + h * width, key + h / layout.group() * width, width);
    }
  });
}

// acc += Σ_i p[i] v[i]
void add_all(const HeadLayout& layout, const float* p, int64_t ld, const CacheRun& v, float* acc) {
  const int64_t width = layout.head_dim, heads = v.tile.cols / width * layout.group();
  with_float(v.tile.dtype, [&]<class T>(T) {
    const T* value = v.tile.as<const T>() + v.row * v.tile.cols;
    for (int64_t i = 0; i < v.count; ++i, value += v.tile.cols) {
      fetch_ahead(value, v.tile.cols);
      for (int64_t h = 0; h < heads; ++h) {
        const Vec by = set(p[h * ld + i]);
        map(
            width, acc + h * width, [&](Vec x, Vec sum) { return hn::MulAdd(by, x, sum); },
            value + h / layout.group() * width, acc + h * width);
      }
    }
  });
}

void copy(int64_t rows, int64_t cols, const TileView& src, int64_t src_row, int64_t src_col, void* dst,
          DType dtype, int64_t ld) {
  with_float(src.dtype, [&]<class S>(S) {
    with_float(dtype, [&]<class T>(T) {
      for (int64_t r = 0; r < rows; ++r)
        map(
            cols, static_cast<T*>(dst) + r * ld, [](auto x) { return x; },
            src.as<const S>() + (src_row + r) * src.cols + src_col);
    });
  });
}

void append(const TileArgs& args) {
  const HeadLayout layout = args.attributes<KvAppend>().layout();
  const auto n = static_cast<size_t>(args.params[0]);
  const TileView &k = args[2 * n], &v = args[2 * n + 1];
  for (size_t i = 0; i < n; ++i) {
    const TileView& qkv = args[i];
    for (int64_t r = 0; r < qkv.rows; ++r) {
      const int64_t row = args[n + i].as<const int32_t>()[r] - k.row0;
      if (row < 0 || row >= k.rows) continue;
      for (int64_t kv = 0; kv < k.cols / layout.head_dim; ++kv) {
        const int64_t unit = kv * layout.qkv_unit(), to = row * k.cols + kv * layout.head_dim;
        const auto bytes = static_cast<int64_t>(size_of(k.dtype));
        copy(1, layout.head_dim, qkv, r, unit + layout.key_at(), k.as<std::byte>() + to * bytes, k.dtype,
             k.cols);
        copy(1, layout.head_dim, qkv, r, unit + layout.value_at(), v.as<std::byte>() + to * bytes, v.dtype,
             v.cols);
      }
    }
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
