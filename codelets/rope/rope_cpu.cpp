// rope on the CPU.
// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codelets/rope/rope_cpu.cpp"
#include <hwy/foreach_target.h>

#include <cmath>
#include <cstring>

#include "codelets/rope/rope_op.hpp"
#include "codelets/simd.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::HWY_NAMESPACE {
namespace {

using F64 = hn::ScalableTag<double>;

// Cosines and sines of a row's angles; angles are reduced in double precision, so large positions keep their
// accuracy.
struct Turns {
  int64_t half;
  double* quarters;         // of a turn per position
  float *part, *cos, *sin;  // part: -0.5 … 0.5 quarters
  float* row;               // one head
  int32_t* quarter;

  explicit Turns(const Rope& op) : half(op.options.head_dim / 2) {
    const int64_t room = half + max_lanes;
    quarters = scratch<double>(room);
    part = scratch<float>(room), cos = scratch<float>(room), sin = scratch<float>(room),
    row = scratch<float>(2 * room);
    quarter = scratch<int32_t>(room);
    for (int64_t i = 0; i < room; ++i)
      quarters[i] =
          2 / M_PI *
          std::pow(op.options.theta, -2 * static_cast<double>(i) / static_cast<double>(op.options.head_dim));
  }

  HWY_INLINE void reduce(double position) const {
    const F64 d;
    const hn::Rebind<float, F64> f32;
    const hn::Rebind<int32_t, F64> i32;
    for (int64_t i = 0; i < half; i += static_cast<int64_t>(hn::Lanes(d))) {
      const auto angle = hn::Mul(hn::LoadU(d, quarters + i), hn::Set(d, position));
      const auto whole = hn::Round(angle);
      hn::StoreU(hn::DemoteTo(f32, hn::Sub(angle, whole)), f32, part + i);
      hn::StoreU(hn::DemoteTo(i32, whole), i32, quarter + i);
    }
  }

  // Minimax polynomials on an eighth of a turn, to 1 ulp.
  HWY_INLINE void turn(double position, bool inverse) const {
    reduce(position);
    const hn::RebindToSigned<F32> i32;
    for (int64_t i = 0; i < half; i += lanes()) {
      const Vec x = hn::Mul(load(part + i), set(0.25f)), z = hn::Mul(x, x);
      Vec s = set(-75.3935623f);
      s = hn::MulAdd(s, z, set(81.5923539f));
      s = hn::MulAdd(s, z, set(-41.3416634f));
      s = hn::Mul(x, hn::MulAdd(s, z, set(6.28318548f)));
      Vec c = set(59.2459564f);
      c = hn::MulAdd(c, z, set(-85.4437408f));
      c = hn::MulAdd(c, z, set(64.9393234f));
      c = hn::MulAdd(c, z, set(-19.7392082f));
      c = hn::MulAdd(c, z, set(1.0f));
      const auto q = hn::LoadU(i32, quarter + i);
      const auto one = hn::Set(i32, 1), two = hn::Set(i32, 2);
      const auto odd = hn::RebindMask(F32(), hn::TestBit(q, one));
      const auto sign = [&](auto bits) { return hn::BitCast(F32(), hn::ShiftLeft<30>(hn::And(bits, two))); };
      const auto flip = hn::Set(i32, inverse ? 2 : 0);
      store(hn::Xor(hn::IfThenElse(odd, c, s), sign(hn::Xor(q, flip))), sin + i);
      store(hn::Xor(hn::IfThenElse(odd, s, c), sign(hn::Add(q, one))), cos + i);
    }
  }
};

template <class T>
HWY_INLINE void turn_halves(const Turns& by, const T* x, T* y) {
  const int64_t n = by.half;
  const auto first = [](auto a, auto b, auto c, auto s) { return hn::NegMulAdd(b, s, hn::Mul(a, c)); };
  const auto second = [](auto a, auto b, auto c, auto s) { return hn::MulAdd(a, s, hn::Mul(b, c)); };
  map(n, y, first, x, x + n, by.cos, by.sin);
  map(n, y + n, second, x, x + n, by.cos, by.sin);
}

template <class T>
HWY_INLINE void turn_adjacent(const Turns& by, const T* x, T* y) {
  map(2 * by.half, by.row, [](auto a) { return a; }, x);
  for (int64_t i = 0; i < by.half; i += lanes()) {
    Vec a, b;
    hn::LoadInterleaved2(F32(), by.row + 2 * i, a, b);
    const Vec c = load(by.cos + i), s = load(by.sin + i);
    hn::StoreInterleaved2(hn::NegMulAdd(b, s, hn::Mul(a, c)), hn::MulAdd(a, s, hn::Mul(b, c)), F32(),
                          by.row + 2 * i);
  }
  map(2 * by.half, y, [](auto a) { return a; }, by.row);
}

template <bool adjacent>
void rope_rows(const TileArgs& args) {
  const auto& op = args.attributes<Rope>();
  const HeadLayout layout = op.layout();
  const Turns turns(op);
  const int64_t n_cols = args[0].cols, width = layout.head_dim;
  with_float(args[0].dtype, [&]<class T>(T) {
    for (int64_t r = 0; r < args[0].rows; ++r) {
      turns.turn(args[1].as<const int32_t>()[r], op.inverse);
      const T* x = args[0].as<const T>() + r * n_cols;
      T* y = args[2].as<T>() + r * n_cols;
      for (int64_t unit = 0; unit < n_cols; unit += layout.qkv_unit()) {
        for (int64_t c = unit; c < unit + layout.value_at(); c += width) {
          if constexpr (adjacent) {
            turn_adjacent(turns, x + c, y + c);
          } else {
            turn_halves(turns, x + c, y + c);
          }
        }
        std::memcpy(y + unit + layout.value_at(), x + unit + layout.value_at(),
                    static_cast<size_t>(width) * sizeof(T));
      }
    }
  });
}

void rope(const TileArgs& args) {
  if (args.attributes<Rope>().options.pairs == RopeOptions::Pairs::adjacent) {
    rope_rows<true>(args);
  } else {
    rope_rows<false>(args);
  }
}

}  // namespace
}  // namespace tessera::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera {
HWY_EXPORT(rope);
void rope_cpu(const TileArgs& args) { HWY_DYNAMIC_DISPATCH(rope)(args); }
}  // namespace tessera
#endif
