// What panel_product holds in registers, for the vector unit at hand: rows of the left factor by vectors of
// the right one, 24 sums in 32 registers, or 12 in 16.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/simd.hpp"

#if defined(TESSERA_CODELETS_PANEL_SIMD) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODELETS_PANEL_SIMD
#undef TESSERA_CODELETS_PANEL_SIMD
#else
#define TESSERA_CODELETS_PANEL_SIMD
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

inline constexpr int64_t strip_lines = HWY_MAX_BYTES >= 64 ? 6 : 4;
inline constexpr int panel_vectors = HWY_MAX_BYTES >= 64 || HWY_TARGET == HWY_SCALAR ? 4 : 3;
inline constexpr int64_t panel_columns = panel_vectors * max_lanes;  // a multiple of four

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
