// embedding on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/embedding/embedding_cpu.cpp"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {

// ids, rows of the result, table tiles in the order of their rows; what other table tiles have stays 0.
// params[0]: rows of the whole table
void embedding(const TileArgs& args) {
  const int32_t* ids = args[0].as<const int32_t>();
  const TileView& dst = args[1];
  const std::span<const TileView> table = args.tiles.subspan(2);
  with_float(dst.dtype, [&]<class T>(T) {
    with_float(table[0].dtype, [&]<class S>(S) {
      for (int64_t r = 0; r < dst.rows; ++r) {
        if (ids[r] >= args.params[0])
          throw error("embedding: the id of row {} is {}, but the table has {} rows", args[0].row0 + r,
                      ids[r], args.params[0]);
        T* y = dst.as<T>() + r * dst.cols;
        const auto after = std::upper_bound(table.begin(), table.end(), ids[r],
                                            [](int32_t id, const TileView& tile) { return id < tile.row0; });
        if (after == table.begin() || ids[r] >= after[-1].row0 + after[-1].rows) {
          std::fill_n(y, dst.cols, T{});
          continue;
        }
        map(
            dst.cols, y, [](auto x) { return x; },
            after[-1].template as<const S>() + (ids[r] - after[-1].row0) * dst.cols);
      }
    });
  });
}

// sum, then ids and d_out of every row tile; params[0]: overwrite
void embedding_backward(const TileArgs& args) {
  const TileView& sum = args[0];
  if (args.params[0]) std::fill_n(sum.as<float>(), sum.size(), 0.0f);
  for (size_t k = 1; k < args.count(); k += 2) {
    const int32_t* ids = args[k].as<const int32_t>();
    with_float(args[k + 1].dtype, [&]<class T>(T) {
      const T* d = args[k + 1].as<const T>();
      for (int64_t r = 0; r < args[k + 1].rows; ++r) {
        if (ids[r] < sum.row0 || ids[r] >= sum.row0 + sum.rows) continue;
        float* y = sum.as<float>() + (ids[r] - sum.row0) * sum.cols;
        map(sum.cols, y, [](auto s, auto x) { return hn::Add(s, x); }, y, d + r * sum.cols);
      }
    });
  }
}

}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(embedding);
HWY_EXPORT(embedding_backward);
void embedding_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(embedding)(args); }
void embedding_backward_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(embedding_backward)(args); }
}  // namespace tessera
#endif
