// Vectors of neighbours: the second part of every device source's head.
// SPDX-License-Identifier: Apache-2.0
//
// Elementwise kernels are written on `wide`: sixteen floats on CPUs, whose vectors have as many, and eight on
// GPUs, so that an item moves 16 bytes at once even of what is stored in 16 bits. LOADW(T, p, i, n) and
// STOREW(T, p, i, n, x) move the WIDE neighbours from element i on, of which those from n on are not there:
// what LOADW_OR has `other` for. pick(c, a, b) is c ? a : b for each of them. wide_halves(words, i) are the
// WIDE halves of words from the i-th on, low ones first.

#ifdef __OPENCL_VERSION__
#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)
#define OF_WIDTH(name) JOINED(name, WIDE)  // float16 of float

// At any address: some drivers make vstore of many stores, and others take halves to be aligned.
typedef ushort8 __attribute__((aligned(2))) ushort8_at;
typedef OF_WIDTH(ushort) __attribute__((aligned(2), may_alias)) wide_halves_at;

typedef OF_WIDTH(float) wide;
typedef OF_WIDTH(uint) wide_bits;
#define SPLAT(x) ((wide)(x))
#define AS_BITS(x) OF_WIDTH(as_uint)(x)
#define AS_WIDE(x) OF_WIDTH(as_float)(x)
#define pick(c, a, b) ((c) ? (a) : (b))

FN wide whole_f32(GLOBAL const f32* p) { return OF_WIDTH(vload)(0, p); }
FN wide whole_bf16(GLOBAL const bf16* p) {
  return AS_WIDE(OF_WIDTH(convert_uint)(OF_WIDTH(vload)(0, p)) << 16);
}
FN wide whole_f16(GLOBAL const f16* p) {
  const OF_WIDTH(ushort) bits = *(GLOBAL const wide_halves_at*)p;
  return OF_WIDTH(vload_half)(0, (const half*)&bits);
}
FN void put_whole_f32(GLOBAL f32* p, wide x) { OF_WIDTH(vstore)(x, 0, p); }
FN void put_whole_bf16(GLOBAL bf16* p, wide x) {
  const wide_bits bits = AS_BITS(x), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  *(GLOBAL wide_halves_at*)p = OF_WIDTH(convert_ushort)(x != x ? bits >> 16 | 0x40 : rounded);
}
FN void put_whole_f16(GLOBAL f16* p, wide x) {
  OF_WIDTH(ushort) bits;
  JOINED(OF_WIDTH(vstore_half), _rte)(x, 0, (half*)&bits);
  *(GLOBAL wide_halves_at*)p = bits;
}
#define MAY_BE_WHOLE(p) 1
FN wide wide_of(const float* v) { return OF_WIDTH(vload)(0, v); }
FN void put_wide(float* v, wide x) { OF_WIDTH(vstore)(x, 0, v); }
FN wide wide_local(LOCAL_ARG const float* p) { return OF_WIDTH(vload)(0, p); }
FN void store_wide_local(LOCAL_ARG float* p, wide x) { OF_WIDTH(vstore)(x, 0, p); }
FN wide_bits wide_halves(LOCAL_ARG const uint* words, long first) {
  return OF_WIDTH(convert_uint)(*(LOCAL_ARG const wide_halves_at*)((LOCAL_ARG const ushort*)words + first));
}

// The pairs that lie in u and then v: their first and second elements, and back.
FN void take_pairs(wide u, wide v, wide* a, wide* b) {
  *a = (wide)(u.even, v.even);
  *b = (wide)(u.odd, v.odd);
}
FN void make_pairs(wide a, wide b, wide* u, wide* v) {
  u->even = a.lo;
  u->odd = b.lo;
  v->even = a.hi;
  v->odd = b.hi;
}

#else

struct float8 {
  float v[8];
};
struct uint8 {
  uint v[8];
};
struct bool8 {
  bool v[8];
};
typedef float8 wide;
typedef uint8 wide_bits;
#define EACH8_AS(type, expression)                                   \
  type y;                                                            \
  _Pragma("unroll") for (int k = 0; k < 8; ++k) y.v[k] = expression; \
  return y
#define EACH8(expression) EACH8_AS(float8, expression)
FN float8 SPLAT8(float x) { EACH8(x); }
#define SPLAT(x) SPLAT8(x)
#define OPERATOR8(type, op)                                                                   \
  FN type operator op(const float8& a, const float8& b) { EACH8_AS(type, a.v[k] op b.v[k]); } \
  FN type operator op(const float8& a, float b) { EACH8_AS(type, a.v[k] op b); }              \
  FN type operator op(float a, const float8& b) { EACH8_AS(type, a op b.v[k]); }
OPERATOR8(float8, +)
OPERATOR8(float8, -)
OPERATOR8(float8, *)
OPERATOR8(float8, /)
OPERATOR8(bool8, <)
OPERATOR8(bool8, >)
FN float8 operator-(const float8& a) { EACH8(-a.v[k]); }
FN float8& operator+=(float8& a, const float8& b) { return a = a + b; }
FN bool8 operator>=(const uint8& a, uint b) { EACH8_AS(bool8, a.v[k] >= b); }
FN float8 pick(const bool8& c, const float8& a, const float8& b) { EACH8(c.v[k] ? a.v[k] : b.v[k]); }
FN float8 fmax(const float8& a, const float8& b) { EACH8(fmaxf(a.v[k], b.v[k])); }
FN float8 fma(const float8& a, const float8& b, const float8& c) { EACH8(fmaf(a.v[k], b.v[k], c.v[k])); }
FN float8 sqrt(const float8& x) { EACH8(sqrtf(x.v[k])); }

#if __CUDA_ARCH__ >= 800
FN uint pack2_bf16(float low, float high) {
  uint bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
#else
FN uint pack2_bf16(float low, float high) { return float_to_bf16(low) | (uint)float_to_bf16(high) << 16; }
#endif
FN uint pack2_f16(float low, float high) {
  uint bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}
FN float low_bf16(uint pair) { return BITS_TO_FLOAT(pair << 16); }
FN float high_bf16(uint pair) { return BITS_TO_FLOAT(pair & 0xffff0000u); }
FN float low_f16(uint pair) { return half_to_float((ushort)pair); }
FN float high_f16(uint pair) { return half_to_float((ushort)(pair >> 16)); }

// All WIDE of them, at a multiple of 16 bytes.
#define MAY_BE_WHOLE(p) ((size_t)(p) % 16 == 0)
FN wide whole_f32(const f32* p) {
  const float4 a = ((const float4*)p)[0], b = ((const float4*)p)[1];
  return {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
}
FN void put_whole_f32(f32* p, const wide& x) {
  ((float4*)p)[0] = F4(x.v[0], x.v[1], x.v[2], x.v[3]);
  ((float4*)p)[1] = F4(x.v[4], x.v[5], x.v[6], x.v[7]);
}
#define WHOLE_HALVES(T)                                                                                      \
  FN wide whole_##T(const T* p) {                                                                            \
    const uint4 w = *(const uint4*)p;                                                                        \
    return {low_##T(w.x), high_##T(w.x), low_##T(w.y), high_##T(w.y),                                        \
            low_##T(w.z), high_##T(w.z), low_##T(w.w), high_##T(w.w)};                                       \
  }                                                                                                          \
  FN void put_whole_##T(T* p, const wide& x) {                                                               \
    *(uint4*)p = make_uint4(pack2_##T(x.v[0], x.v[1]), pack2_##T(x.v[2], x.v[3]), pack2_##T(x.v[4], x.v[5]), \
                            pack2_##T(x.v[6], x.v[7]));                                                      \
  }
WHOLE_HALVES(bf16)
WHOLE_HALVES(f16)
FN wide wide_of(const float* v) { EACH8(v[k]); }
FN void put_wide(float* v, const wide& x) { UNROLL for (int k = 0; k < 8; ++k) v[k] = x.v[k]; }
FN wide wide_local(const float* p) { EACH8(p[k]); }
FN void store_wide_local(float* p, const wide& x) { put_wide(p, x); }
FN wide_bits wide_halves(const uint* words, long first) {
  EACH8_AS(uint8, words[(first + k) >> 1] >> ((first + k) & 1) * 16 & 0xffff);
}
FN void take_pairs(const wide& u, const wide& v, wide* a, wide* b) {
  UNROLL for (int k = 0; k < 4; ++k) {
    a->v[k] = u.v[2 * k];
    b->v[k] = u.v[2 * k + 1];
    a->v[4 + k] = v.v[2 * k];
    b->v[4 + k] = v.v[2 * k + 1];
  }
}
FN void make_pairs(const wide& a, const wide& b, wide* u, wide* v) {
  UNROLL for (int k = 0; k < 4; ++k) {
    u->v[2 * k] = a.v[k];
    u->v[2 * k + 1] = b.v[k];
    v->v[2 * k] = a.v[4 + k];
    v->v[2 * k + 1] = b.v[4 + k];
  }
}

#endif

#define WHOLE(T, p, i) PASTE(whole, T)((p) + (i))  // all WIDE of them
#define PUT_WHOLE(T, p, i, x) PASTE(put_whole, T)((p) + (i), x)
// Loops over an item's own array: on GPUs it must not need addresses.
#ifdef __OPENCL_VERSION__
#define IN_REGISTERS
#else
#define IN_REGISTERS UNROLL
#endif
// What an elementwise loop that computes much will load later: there CPUs' own prefetching comes too late.
// Where a loop computes little, or rows are read twice, it costs more than it gives.
#ifdef ON_CPU
#define LOAD_AHEAD(p) prefetch((p) + 1024, WIDE)
#else
#define LOAD_AHEAD(p)
#endif
#define WIDE_OF(T)                                                                             \
  FN wide load_wide_##T(GLOBAL const T* p, long i, long n, float other) {                      \
    if (n - i >= WIDE && MAY_BE_WHOLE(p + i)) return whole_##T(p + i);                         \
    float v[WIDE];                                                                             \
    IN_REGISTERS for (int k = 0; k < WIDE; ++k) v[k] = i + k < n ? load_##T(p, i + k) : other; \
    return wide_of(v);                                                                         \
  }                                                                                            \
  FN void store_wide_##T(GLOBAL T* p, long i, long n, wide x) {                                \
    if (n - i >= WIDE && MAY_BE_WHOLE(p + i)) {                                                \
      put_whole_##T(p + i, x);                                                                 \
    } else {                                                                                   \
      float v[WIDE];                                                                           \
      put_wide(v, x);                                                                          \
      IN_REGISTERS for (int k = 0; k < WIDE; ++k) if (i + k < n) store_##T(p, i + k, v[k]);    \
    }                                                                                          \
  }
WIDE_OF(f32)
WIDE_OF(bf16)
WIDE_OF(f16)
#define LOADW_OR(T, p, i, n, other) PASTE(load_wide, T)(p, i, n, other)
#define STOREW(T, p, i, n, x) PASTE(store_wide, T)(p, i, n, x)
#define LOADW(T, p, i, n) LOADW_OR(T, p, i, n, 0.0f)

// All of these keep a NaN.
#ifdef __OPENCL_VERSION__
FN wide magnitude(wide x) { return AS_WIDE(AS_BITS(x) & 0x7fffffff); }
FN wide at_most(float high, wide x) { return pick(x > high, SPLAT(high), x); }
FN wide clamped(wide x, float low, float high) {
  x = at_most(high, x);
  return pick(x < low, SPLAT(low), x);
}
#else
#if __CUDA_ARCH__ >= 800
FN float at_most_one(float high, float x) {
  asm("min.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(high));
  return x;
}
FN float at_least_one(float low, float x) {
  asm("max.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(low));
  return x;
}
#else
FN float at_most_one(float high, float x) { return x > high ? high : x; }
FN float at_least_one(float low, float x) { return x < low ? low : x; }
#endif
FN wide magnitude(const wide& x) { EACH8(fabsf(x.v[k])); }
FN wide at_most(float high, const wide& x) { EACH8(at_most_one(high, x.v[k])); }
FN wide clamped(const wide& x, float low, float high) { EACH8(at_least_one(low, at_most_one(high, x.v[k]))); }
#endif

// exp(x) for -87 ≤ x ≤ 88, and a NaN for one: to 2 ulp of float, or to 2^-13 where it is stored in 16 bits.
// On CPUs without calls, which some drivers make for exp.
#ifdef __OPENCL_VERSION__
FN wide exp_to_f32(wide x) {
  const wide rounded = x * 1.44269504f + 0x1.8p23f, whole = rounded - 0x1.8p23f;
  const wide part = fma(whole, SPLAT(-1.42860677e-6f), fma(whole, SPLAT(-0.693145752f), x));
  wide y = 1.98756915e-4f * part + 1.39819995e-3f;
  y = y * part + 8.33345205e-3f;
  y = y * part + 4.16657962e-2f;
  y = y * part + 0.166666657f;
  y = y * part + 0.5f;
  y = y * part * part + part + 1.0f;
  return AS_WIDE(AS_BITS(y) + (AS_BITS(rounded) << 23));
}
FN wide exp2_of_product_bf16(wide a, wide b) {
  const wide rounded = fma(a, b, SPLAT(0x1.8p23f)), part = fma(a, b, 0x1.8p23f - rounded);
  wide y = 0.0551716685f * part + 0.242611125f;
  y = y * part + 0.693260968f;
  y = y * part + 0.999928057f;
  return AS_WIDE(AS_BITS(y) + (AS_BITS(rounded) << 23));
}
FN wide exp2_to_bf16(float factor, wide x) { return exp2_of_product_bf16(SPLAT(factor), x); }
FN wide exp_to_bf16(wide x) { return exp2_to_bf16(1.44269504f, x); }
FN float exp2_fast(float x) { return exp2(x); }  // these two of any x
FN wide exp2_wide(wide x) { return exp2(x); }
#else
FN wide exp_to_f32(const wide& x) { EACH8(expf(x.v[k])); }
FN float exp2_fast(float x) {  // to 2 ulp
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
FN wide exp2_wide(const wide& x) { EACH8(exp2_fast(x.v[k])); }
FN wide exp2_of_product_bf16(const wide& a, const wide& b) { EACH8(exp2_fast(a.v[k] * b.v[k])); }
FN wide exp2_to_bf16(float factor, const wide& x) { EACH8(exp2_fast(factor * x.v[k])); }
FN wide exp_to_bf16(const wide& x) { return exp2_to_bf16(1.44269504f, x); }
#endif
// The smaller one, and anything where x is a NaN; 1 / x, roughly for what is stored in 16 bits.
FN wide recip_to_f32(wide x) { return 1.0f / x; }
#ifdef __OPENCL_VERSION__
FN wide smaller(wide x, float limit) { return min(x, limit); }
FN wide recip_to_bf16(wide x) { return native_recip(x); }
#else
FN wide smaller(const wide& x, float limit) { EACH8(fminf(x.v[k], limit)); }
FN wide recip_to_bf16(const wide& x) { EACH8(__fdividef(1.0f, x.v[k])); }
#endif
#define exp_to_f16 exp_to_bf16
#define EXPW(T, x) PASTE(exp_to, T)(x)
#define recip_to_f16 recip_to_bf16
#define RECIPW(T, x) PASTE(recip_to, T)(x)

// The maximum and, in the order of a binary tree, the sum of what is in x; 1 at the k-th of the WIDE, where
// there is one, and 0 elsewhere.
#ifdef __OPENCL_VERSION__
FN float max_wide(wide x) {
#if WIDE == 16
  const float8 a = fmax(x.lo, x.hi);
#else
  const float8 a = x;
#endif
  const float4 b = fmax(a.lo, a.hi);
  const float2 c = fmax(b.lo, b.hi);
  return fmax(c.x, c.y);
}
FN float sum_wide(wide x) {
#if WIDE == 16
  const float8 a = x.lo + x.hi;
#else
  const float8 a = x;
#endif
  const float4 b = a.lo + a.hi;
  const float2 c = b.lo + b.hi;
  return c.x + c.y;
}
FN wide one_at(long k) {
  const int16 lanes = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#if WIDE == 16
  return lanes == (int)(k < 0 || k >= WIDE ? WIDE : k) ? SPLAT(1.0f) : SPLAT(0.0f);
#else
  return lanes.lo == (int)(k < 0 || k >= WIDE ? WIDE : k) ? SPLAT(1.0f) : SPLAT(0.0f);
#endif
}
#else
FN float max_wide(const wide& x) {
  return fmaxf(fmaxf(fmaxf(x.v[0], x.v[4]), fmaxf(x.v[2], x.v[6])),
               fmaxf(fmaxf(x.v[1], x.v[5]), fmaxf(x.v[3], x.v[7])));
}
FN float sum_wide(const wide& x) {
  return ((x.v[0] + x.v[4]) + (x.v[2] + x.v[6])) + ((x.v[1] + x.v[5]) + (x.v[3] + x.v[7]));
}
FN wide one_at(long at) { EACH8(k == at ? 1.0f : 0.0f); }
#endif
