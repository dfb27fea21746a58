// The backward of layer_norm and rms_norm on the CPU.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/simd.hpp"

#if defined(TESSERA_CODELETS_ROW_NORM_SIMD) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_ROW_NORM_SIMD
#undef TESSERA_CODELETS_ROW_NORM_SIMD
#else
#define TESSERA_CODELETS_ROW_NORM_SIMD
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// With g = d_y · scale, x̂ = (x - mean) · rstd: d_x = rstd (g - mean(g) - x̂ mean(g x̂)), d_scale += d_y x̂,
// d_shift += d_y, row by row. Not centred: no mean is taken off, neither from x nor from g.
template <class T>
struct NormBackward {
  const T *x, *d_y;
  const float *scale, *statistics;  // statistics: mean, rstd per row; not centred: rstd
  float *d_scale, *d_shift;         // d_shift: null where there is none
  std::span<const TileView> d_x;    // one row of tiles
  int64_t width;
};

// n rows at once, so that the sums over rows are loaded and stored once for all of them. Flattened and with
// its own copy of the pointers, since all of this must stay in registers.
template <int n, bool centred, class T>
HWY_FLATTEN void norm_backward_rows(const NormBackward<T> tiles, int64_t r) {
  const int64_t width = tiles.width;
  const T *x = tiles.x + r * width, *d_y = tiles.d_y + r * width;
  Vec mean[n], rstd[n], g_sum[n], dot[n];
  for (int k = 0; k < n; ++k) {
    mean[k] = set(centred ? tiles.statistics[2 * (r + k)] : 0);
    rstd[k] = set(centred ? tiles.statistics[2 * (r + k) + 1] : tiles.statistics[r + k]);
    g_sum[k] = dot[k] = set(0);
  }
  const auto normalised = [&](int k, int64_t c, auto part) {
    const Vec v = load(x + k * width + c, part);
    return hn::Mul(centred ? hn::Sub(v, mean[k]) : v, rstd[k]);
  };
  each_vector(width, [&](int64_t c, auto part) {
    const Vec by = load(tiles.scale + c, part);
    Vec to_scale = load(tiles.d_scale + c, part);
    Vec to_shift = tiles.d_shift ? load(tiles.d_shift + c, part) : set(0);
    HWY_UNROLL(4)
    for (int k = 0; k < n; ++k) {
      const Vec d = load(d_y + k * width + c, part);
      const Vec hat = normalised(k, c, part);
      const Vec g = hn::Mul(d, by);
      if (centred) g_sum[k] = hn::Add(g_sum[k], g);
      dot[k] = hn::MulAdd(g, hat, dot[k]);
      to_scale = hn::MulAdd(d, hat, to_scale);
      to_shift = hn::Add(to_shift, d);
    }
    store(to_scale, tiles.d_scale + c, part);
    if (tiles.d_shift) store(to_shift, tiles.d_shift + c, part);
  });
  const Vec share = set(1 / static_cast<float>(width));
  for (int k = 0; k < n; ++k) {
    g_sum[k] = hn::Mul(hn::SumOfLanes(F32(), g_sum[k]), share);
    dot[k] = hn::Mul(hn::SumOfLanes(F32(), dot[k]), share);
  }
  for (const TileView& tile : tiles.d_x) {
    const int64_t cols = tile.cols, col0 = tile.col0;
    T* d_x = tile.as<T>() + r * cols;
    each_vector(cols, [&](int64_t at, auto part) {
      const int64_t c = col0 + at;
      const Vec by = load(tiles.scale + c, part);
      HWY_UNROLL(4)
      for (int k = 0; k < n; ++k) {
        const Vec g = hn::Mul(load(d_y + k * width + c, part), by);
        const Vec rest = hn::NegMulAdd(normalised(k, c, part), dot[k], centred ? hn::Sub(g, g_sum[k]) : g);
        store(hn::Mul(rest, rstd[k]), d_x + k * cols + at, part);
      }
    });
  }
}

// Tiles and params as lower_norm_backward says.
template <bool centred>
HWY_INLINE void norm_backward(const TileArgs& args) {
  const TileView& x = args[0];
  const bool first = args.params[0] != 0, shifted = args.params[1] == 2;
  float* d_scale = args[4].as<float>();
  float* d_shift = shifted ? args[5].as<float>() : nullptr;
  if (first) {
    map(x.cols, d_scale, [] { return set(0); });
    if (d_shift) map(x.cols, d_shift, [] { return set(0); });
  }
  with_float(x.dtype, [&]<class T>(T) {
    const NormBackward<T> tiles{.x = x.as<const T>(),
                                .d_y = args[3].as<const T>(),
                                .scale = args[1].as<const float>(),
                                .statistics = args[2].as<const float>(),
                                .d_scale = d_scale,
                                .d_shift = d_shift,
                                .d_x = args.tiles.subspan(shifted ? 6 : 5),
                                .width = x.cols};
    int64_t r = 0;
    for (; r + 4 <= x.rows; r += 4) norm_backward_rows<4, centred>(tiles, r);
    for (; r < x.rows; ++r) norm_backward_rows<1, centred>(tiles, r);
  });
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
