// kv_append, and the vector loops of paged_attention, on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/kv_cache/paged_rows_cpu.cpp"
#include <hwy/foreach_target.h>

#include "codelets/kv_cache/kv_cache_op.hpp"
#include "codelets/kv_cache/paged_rows.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

// Dot products of one query with n rows of keys.
template <int n, class T>
HWY_INLINE void dots(const float* q, const T* k, int64_t ld, int64_t width, float* scores) {
  Vec sums[n];
  for (Vec& sum : sums) sum = set(0);
  int64_t d = 0;
  for (; d + lanes() <= width; d += lanes()) {
    const Vec x = load(q + d);
    for (int i = 0; i < n; ++i) sums[i] = hn::MulAdd(x, load(k + i * ld + d), sums[i]);
  }
  if (d < width) {
    const Vec x = load_some(q + d, width - d);
    for (int i = 0; i < n; ++i) sums[i] = hn::MulAdd(x, load_some(k + i * ld + d, width - d), sums[i]);
  }
  for (int i = 0; i < n; ++i) scores[i] = hn::GetLane(hn::SumOfLanes(F32(), sums[i]));
}

void score(const HeadLayout& layout, const float* q, const CacheRun& k, float* scores, int64_t ld) {
  const int64_t width = layout.head_dim, n_kv = k.tile.cols / width, group = layout.group();
  with_float(k.tile.dtype, [&]<class T>(T) {
    const T* keys = k.tile.as<const T>() + k.row * k.tile.cols;
    for (int64_t i = 0; i < k.count;) {
      const bool four = i + 4 <= k.count;
      for (int64_t h = 0; h < n_kv * group; ++h) {
        const T* key = keys + i * k.tile.cols + h / group * width;
        if (four) {
          dots<4>(q + h * width, key, k.tile.cols, width, scores + h * ld + i);
        } else {
          dots<1>(q + h * width, key, k.tile.cols, width, scores + h * ld + i);
        }
      }
      i += four ? 4 : 1;
    }
  });
}

// acc += Σ_i p[i] v[i] over n rows of values
template <int n, class T>
HWY_INLINE void add_values(const float* p, const T* v, int64_t ld, int64_t width, float* acc) {
  int64_t d = 0;
  for (; d + lanes() <= width; d += lanes()) {
    Vec sum = load(acc + d);
    for (int i = 0; i < n; ++i) sum = hn::MulAdd(set(p[i]), load(v + i * ld + d), sum);
    store(sum, acc + d);
  }
  if (d == width) return;
  Vec sum = load_some(acc + d, width - d);
  for (int i = 0; i < n; ++i) sum = hn::MulAdd(set(p[i]), load_some(v + i * ld + d, width - d), sum);
  store_some(sum, acc + d, width - d);
}

void add_all(const HeadLayout& layout, const float* p, int64_t ld, const CacheRun& v, float* acc) {
  const int64_t width = layout.head_dim, n_kv = v.tile.cols / width, group = layout.group();
  with_float(v.tile.dtype, [&]<class T>(T) {
    const T* values = v.tile.as<const T>() + v.row * v.tile.cols;
    for (int64_t i = 0; i < v.count;) {
      const bool four = i + 4 <= v.count;
      for (int64_t h = 0; h < n_kv * group; ++h) {
        const T* value = values + i * v.tile.cols + h / group * width;
        if (four) {
          add_values<4>(p + h * ld + i, value, v.tile.cols, width, acc + h * width);
        } else {
          add_values<1>(p + h * ld + i, value, v.tile.cols, width, acc + h * width);
        }
      }
      i += four ? 4 : 1;
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
