// Rows of a head copied side by side in f32, padded to whole vectors, and panels of transposed keys.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/strips.hpp"
#include "codelets/simd.hpp"

#if defined(TESSERA_CODELETS_PACKING_SIMD) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_PACKING_SIMD
#undef TESSERA_CODELETS_PACKING_SIMD
#else
#define TESSERA_CODELETS_PACKING_SIMD
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

HWY_INLINE int64_t padded(int64_t width) { return (width + lanes() - 1) / lanes() * lanes(); }

// dst[r, c] = src[r, col + c] for c < width, and 0 up to padded(width)
template <class T>
HWY_INLINE void pack_rows(const TileView& tile, int64_t row, int64_t rows, int64_t col, int64_t width,
                          float* dst) {
  const int64_t ld = padded(width), whole = width / lanes() * lanes();
  for (int64_t r = 0; r < rows; ++r, dst += ld) {
    const T* src = static_cast<const T*>(at(tile, row + r, col));
    for (int64_t c = 0; c < whole; c += lanes()) store(load(src + c), dst + c);
    if (whole < width) store(load_some(src + whole, width - whole), dst + whole);
  }
}

// panel[d, key] = rows[key, d] for the keys of one panel
HWY_INLINE void transpose_panel(const float* rows, int64_t width, float* panel) {
  const int64_t ld = padded(width);
  float quads[4 * max_lanes];  // [d, 4 keys]
  for (int64_t key = 0; key < panel_keys; key += 4)
    for (int64_t d = 0; d < width; d += lanes()) {
      const float* from = rows + key * ld + d;
      hn::StoreInterleaved4(load(from), load(from + ld), load(from + 2 * ld), load(from + 3 * ld), F32(),
                            quads);
      const int64_t n = std::min(lanes(), width - d);
      for (int64_t i = 0; i < n; ++i)
        std::memcpy(panel + (d + i) * panel_keys + key, quads + 4 * i, 4 * sizeof(float));
    }
}

// One head's keys (or values) of all packed rows; either result may be null. Rows that no tile holds are 0.
struct PackInto {
  float* rows = nullptr;    // [rows, padded(width)]
  float* panels = nullptr;  // [panels, width, panel_keys]
};
template <class T>
void pack_keys(std::span<const TileView> tiles, const PackedKeys& packed, int64_t col, int64_t width,
               const PackInto& into) {
  const int64_t ld = padded(width);
  float* spare = into.rows ? nullptr : scratch<float>(panel_keys * ld);
  for (int64_t p = 0; p < packed.n_panels; ++p) {
    float* rows = into.rows ? into.rows + p * panel_keys * ld : spare;
    const int64_t begin = packed.begin + p * panel_keys, end = begin + panel_keys;
    const int64_t held_begin = std::max(begin, tiles.front().row0);
    const int64_t held_end = std::min(end, tiles.back().row0 + tiles.back().rows);
    std::fill(rows, rows + (held_begin - begin) * ld, 0.0f);
    std::fill(rows + (held_end - begin) * ld, rows + panel_keys * ld, 0.0f);
    each_part(tiles, begin, panel_keys, [&](const TileView& tile, int64_t key, int64_t n) {
      pack_rows<T>(tile, key, n, col, width, rows + (key - begin) * ld);
    });
    if (into.panels) transpose_panel(rows, width, into.panels + p * width * panel_keys);
  }
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
