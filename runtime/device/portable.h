// What OpenCL C and CUDA C++ call differently, under one name: the head of every device source.
// SPDX-License-Identifier: Apache-2.0
//
// Device sources are written in the common part of both languages. Storage types are words given on the
// command line (-DT=bf16): LOAD(T, p, i) and STORE(T, p, i, x) move between storage and float, LOAD4 and
// STORE4 four neighbours at once, which must lie at a multiple of four elements. Vectors are made by F4(a, b,
// c, d).
#ifdef __OPENCL_VERSION__

#define KERNEL __kernel void
#define FN static inline
#define GLOBAL __global
#define LOCAL __local
#define LOCAL_ARG __local
#define CONSTANT __constant
#define RESTRICT restrict
#define GROUP(d) ((int)get_group_id(d))
#define GROUPS(d) ((int)get_num_groups(d))
#define ITEM(d) ((int)get_local_id(d))
#define ITEMS(d) ((int)get_local_size(d))
#define BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define GLOBAL_BARRIER() \
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)  // global memory of the group too
#define GROUP_SIZE(x, y) __attribute__((reqd_work_group_size(x, y, 1)))
#define F4(a, b, c, d) ((float4)(a, b, c, d))
#define BITS_TO_FLOAT(x) as_float(x)
#define FLOAT_TO_BITS(x) as_uint(x)
#define MUL_HIGH(a, b) mul_hi(a, b)       // of uint
#define MUL_HIGH_LONG(a, b) mul_hi(a, b)  // of ulong
// n, as the length of a loop whose sums are to stay in registers: PoCL takes loops of the same length for all
// items apart, runs each turn for all items, and keeps sums in memory. This length looks like the item's own.
#define OWN_LENGTH(n) ((n) + min(ITEM(0), 0))
#define LONG_ITEM ((long)get_global_id(0))
#define LONG_ITEMS ((long)get_global_size(0))
typedef ushort f16;
FN float half_to_float(ushort bits) { return vload_half(0, (const half*)&bits); }
FN ushort float_to_half(float x) {
  ushort bits;
  vstore_half_rte(x, 0, (half*)&bits);
  return bits;
}

#else  // CUDA, by NVRTC

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long long ulong;
#define KERNEL extern "C" __global__ void
#define FN static __device__ __forceinline__
#define GLOBAL
#define LOCAL __shared__ __align__(16)
#define LOCAL_ARG
#define CONSTANT __constant__ const
#define RESTRICT __restrict__
#define GROUP(d) ((int)((d) == 0 ? blockIdx.x : (d) == 1 ? blockIdx.y : blockIdx.z))
#define GROUPS(d) ((int)((d) == 0 ? gridDim.x : (d) == 1 ? gridDim.y : gridDim.z))
#define ITEM(d) ((int)((d) == 0 ? threadIdx.x : threadIdx.y))
#define ITEMS(d) ((int)((d) == 0 ? blockDim.x : blockDim.y))
#define BARRIER() __syncthreads()
#define GLOBAL_BARRIER() __syncthreads()
#define GROUP_SIZE(x, y) __launch_bounds__((x) * (y), 1)  // one group on a multiprocessor may do: no spilling
#define F4(a, b, c, d) make_float4(a, b, c, d)
#define BITS_TO_FLOAT(x) __uint_as_float(x)
#define FLOAT_TO_BITS(x) __float_as_uint(x)
#define MUL_HIGH(a, b) __umulhi(a, b)
#define OWN_LENGTH(n) (n)
#define MUL_HIGH_LONG(a, b) __umul64hi(a, b)
#define LONG_ITEM ((long)blockIdx.x * blockDim.x + threadIdx.x)
#define LONG_ITEMS ((long)gridDim.x * blockDim.x)
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
typedef ushort f16;
FN float half_to_float(ushort bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}
FN ushort float_to_half(float x) {
  ushort bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
FN float4 operator+(float4 a, float4 b) { return F4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
FN float4 operator-(float4 a, float4 b) { return F4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w); }
FN float4 operator*(float4 a, float4 b) { return F4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); }
FN float4 operator*(float a, float4 b) { return F4(a * b.x, a * b.y, a * b.z, a * b.w); }
FN float4 operator*(float4 a, float b) { return b * a; }
FN float4& operator+=(float4& a, float4 b) { return a = a + b; }

#endif

// Storage types; arithmetic is in float everywhere.
typedef float f32;
typedef ushort bf16;
typedef int i32;

FN float load_f32(GLOBAL const f32* p, long i) { return p[i]; }
FN void store_f32(GLOBAL f32* p, long i, float x) { p[i] = x; }
FN float4 load4_f32(GLOBAL const f32* p, long i) { return ((GLOBAL const float4*)p)[i / 4]; }
FN void store4_f32(GLOBAL f32* p, long i, float4 x) { ((GLOBAL float4*)p)[i / 4] = x; }

FN float bf16_to_float(ushort bits) { return BITS_TO_FLOAT((uint)bits << 16); }
FN ushort float_to_bf16(float x) {  // to nearest, ties to even; a NaN stays one
  const uint bits = FLOAT_TO_BITS(x);
  return x != x ? (ushort)(bits >> 16 | 0x40) : (ushort)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
FN float load_bf16(GLOBAL const bf16* p, long i) { return bf16_to_float(p[i]); }
FN void store_bf16(GLOBAL bf16* p, long i, float x) { p[i] = float_to_bf16(x); }
FN float4 load4_bf16(GLOBAL const bf16* p, long i) {
  const ushort4 v = ((GLOBAL const ushort4*)p)[i / 4];
  return F4(bf16_to_float(v.x), bf16_to_float(v.y), bf16_to_float(v.z), bf16_to_float(v.w));
}
FN void store4_bf16(GLOBAL bf16* p, long i, float4 x) {
  ushort4 v;
  v.x = float_to_bf16(x.x);
  v.y = float_to_bf16(x.y);
  v.z = float_to_bf16(x.z);
  v.w = float_to_bf16(x.w);
  ((GLOBAL ushort4*)p)[i / 4] = v;
}

FN float load_f16(GLOBAL const f16* p, long i) { return half_to_float(p[i]); }
FN void store_f16(GLOBAL f16* p, long i, float x) { p[i] = float_to_half(x); }
FN float4 load4_f16(GLOBAL const f16* p, long i) {
  return F4(half_to_float(p[i]), half_to_float(p[i + 1]), half_to_float(p[i + 2]), half_to_float(p[i + 3]));
}
FN void store4_f16(GLOBAL f16* p, long i, float4 x) {
  p[i] = float_to_half(x.x);
  p[i + 1] = float_to_half(x.y);
  p[i + 2] = float_to_half(x.z);
  p[i + 3] = float_to_half(x.w);
}

// exp(x) to 2 ulp; below -87 it is that of -87, above 88 infinite. Drivers of CPUs call a function for exp,
// which keeps them from making vectors of the items.
#ifdef __OPENCL_VERSION__
FN float EXP(float x) {
  const float bounded = fmax(-87.0f, fmin(88.0f, x));
  const float rounded = fma(bounded, 1.44269504f, 0x1.8p23f), whole = rounded - 0x1.8p23f;
  const float part = fma(whole, -1.42860677e-6f, fma(whole, -0.693145752f, bounded));
  float y = fma(1.98756915e-4f, part, 1.39819995e-3f);
  y = fma(y, part, 8.33345205e-3f);
  y = fma(y, part, 4.16657962e-2f);
  y = fma(y, part, 0.166666657f);
  y = fma(y, part, 0.5f);
  y = fma(y * part, part, part) + 1.0f;
  y = as_float(as_uint(y) + (as_uint(rounded) << 23));
  return x > 88.0f ? INFINITY : x != x ? x : y;
}
#else
#define EXP(x) expf(x)
#endif

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define LOAD(T, p, i) PASTE(load, T)(p, i)
#define STORE(T, p, i, x) PASTE(store, T)(p, i, x)
#define LOAD4(T, p, i) PASTE(load4, T)(p, i)
#define STORE4(T, p, i, x) PASTE(store4, T)(p, i, x)
#define LOAD8(T, p, i) PASTE(load8, T)(p, i)  // of any eight neighbours

// Before a loop of constant length.
#define UNROLL _Pragma("unroll")

// The elements of a launch over for_each(n): one for every item, without a loop, as compilers make vectors of
// the items of a group; or where they make them of loops, a run of neighbours for every item.
#ifdef IN_RUNS
#define FOR_EACH(i, n)                                                                     \
  for (long end_ = (n), run_ = (end_ + LONG_ITEMS - 1) / LONG_ITEMS, i = LONG_ITEM * run_, \
            last_ = min(end_, i + run_);                                                   \
       i < last_; ++i)
#else
#define FOR_EACH(i, n) for (long i = LONG_ITEM; i < (n); i = (n))
#endif

// The same for the elements [r, c] of a launch over for_each_in_rows(rows, cols).
#define FOR_EACH_IN_ROWS(r, c, cols) \
  for (long r = GROUP(0), c = (long)GROUP(1) * ITEMS(0) + ITEM(0); c < (cols); c = (cols))

// x += the same of all items of a group, in the fixed order of a binary tree; `part` is local memory of
// ITEMS(0) floats (a power of two), free again afterwards. Every item of the group must take part.
FN float group_sum(float x, LOCAL_ARG float* part) {
  const int item = ITEM(0);
  part[item] = x;
  BARRIER();
  for (int step = ITEMS(0) / 2; step > 0; step /= 2) {
    if (item < step) part[item] += part[item + step];
    BARRIER();
  }
  const float sum = part[0];
  BARRIER();
  return sum;
}
FN float group_max(float x, LOCAL_ARG float* part) {
  const int item = ITEM(0);
  part[item] = x;
  BARRIER();
  for (int step = ITEMS(0) / 2; step > 0; step /= 2) {
    if (item < step) part[item] = fmax(part[item], part[item + step]);
    BARRIER();
  }
  const float max = part[0];
  BARRIER();
  return max;
}

// Eight floats in one vector register of a CPU, and in eight registers of a GPU: for inner loops of products.
#ifdef __OPENCL_VERSION__
#define SPLAT8(x) ((float8)(x))
FN float8 load8_local(LOCAL_ARG const float* p) { return vload8(0, p); }
FN float8 load8_f32(GLOBAL const f32* p, long i) { return vload8(0, p + i); }
FN float8 load8_bf16(GLOBAL const bf16* p, long i) {
  return as_float8(convert_uint8(vload8(0, p + i)) << 16);
}
FN float8 load8_f16(GLOBAL const f16* p, long i) { return vload_half8(0, (GLOBAL const half*)(p + i)); }
FN void store8_local(LOCAL_ARG float* p, float8 x) { vstore8(x, 0, p); }
FN void store8_f32(GLOBAL f32* p, long i, float8 x) { vstore8(x, 0, p + i); }
FN void store8_bf16(GLOBAL bf16* p, long i, float8 x) {
  const uint8 bits = as_uint8(x);
  const uint8 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  vstore8(convert_ushort8(select(rounded, bits >> 16 | 0x40, x != x)), 0, p + i);
}
FN void store8_f16(GLOBAL f16* p, long i, float8 x) { vstore_half8_rte(x, 0, (GLOBAL half*)(p + i)); }
FN void unpack8(float* to, float8 x) { vstore8(x, 0, to); }
FN float8 pack8(const float* from) { return vload8(0, from); }
FN float8 lanes8(float first) { return first + (float8)(0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f); }
// x where low ≤ at < high, else `other`.
FN float8 within8(float8 low, float8 at, float8 high, float8 x, float other) {
  return select((float8)(other), x, (at >= low) & (at < high));
}
// `yes` where the k-th bit is set, else 0.
FN float8 bits8(uint bits, float yes) {
  const int8 bit = (int8)((int)bits) & (int8)(1, 2, 4, 8, 16, 32, 64, 128);
  return select((float8)(0.0f), (float8)(yes), bit != 0);
}
// 2^x for x ≤ 0, to 1.5 ulp where it matters and 0 below 2^-100. A NaN stays a NaN.
FN float8 exp2_negative8(float8 x) {
  const float8 rounded = x + 0x1.8p23f;  // to an integer, in the lowest bits
  const float8 part = x - (rounded - 0x1.8p23f);
  float8 y = 0.0013264728f * part + 0.0096715139f;
  y = y * part + 0.0555073358f;
  y = y * part + 0.2402224243f;
  y = y * part + 0.6931470037f;
  y = y * part + 1.0f;
  y = as_float8(as_uint8(y) + (as_uint8(rounded) << 23));
  return select(y, (float8)(0.0f), x < -100.0f);
}
#else
struct float8 {
  float v[8];
};
#define EACH8(expression)                                            \
  float8 y;                                                          \
  _Pragma("unroll") for (int k = 0; k < 8; ++k) y.v[k] = expression; \
  return y
FN float8 SPLAT8(float x) { EACH8(x); }
FN float8 operator+(float8 a, float8 b) { EACH8(a.v[k] + b.v[k]); }
FN float8 operator-(float8 a, float8 b) { EACH8(a.v[k] - b.v[k]); }
FN float8 operator-(float8 a, float b) { EACH8(a.v[k] - b); }
FN float8 operator*(float8 a, float8 b) { EACH8(a.v[k] * b.v[k]); }
FN float8 operator*(float a, float8 b) { EACH8(a * b.v[k]); }
FN float8& operator+=(float8& a, float8 b) { return a = a + b; }
FN float8 load8_local(LOCAL_ARG const float* p) { EACH8(p[k]); }
FN float8 load8_f32(GLOBAL const f32* p, long i) { EACH8(p[i + k]); }
FN float8 load8_bf16(GLOBAL const bf16* p, long i) { EACH8(bf16_to_float(p[i + k])); }
FN float8 load8_f16(GLOBAL const f16* p, long i) { EACH8(half_to_float(p[i + k])); }
FN void store8_local(LOCAL_ARG float* p, float8 x) {
  _Pragma("unroll") for (int k = 0; k < 8; ++k) p[k] = x.v[k];
}
FN void store8_f32(GLOBAL f32* p, long i, float8 x) {
  _Pragma("unroll") for (int k = 0; k < 8; ++k) p[i + k] = x.v[k];
}
FN void store8_bf16(GLOBAL bf16* p, long i, float8 x) {
  _Pragma("unroll") for (int k = 0; k < 8; ++k) p[i + k] = float_to_bf16(x.v[k]);
}
FN void store8_f16(GLOBAL f16* p, long i, float8 x) {
  _Pragma("unroll") for (int k = 0; k < 8; ++k) p[i + k] = float_to_half(x.v[k]);
}
FN void unpack8(float* to, float8 x) { _Pragma("unroll") for (int k = 0; k < 8; ++k) to[k] = x.v[k]; }
FN float8 pack8(const float* from) { EACH8(from[k]); }
FN float8 lanes8(float first) { EACH8(first + k); }
FN float8 within8(float8 low, float8 at, float8 high, float8 x, float other) {
  EACH8(at.v[k] >= low.v[k] && at.v[k] < high.v[k] ? x.v[k] : other);
}
FN float8 bits8(uint bits, float yes) { EACH8(bits >> k & 1 ? yes : 0.0f); }
FN float8 exp2_negative8(float8 x) { EACH8(exp2f(x.v[k])); }

#endif

// Of eight neighbours the first n, which may be more than eight: LOAD8_OR(T, p, i, n, other) has `other` for
// the rest, STORE8_SOME(T, p, i, n, x) leaves it alone.
#define SOME8(T)                                                           \
  FN float8 load8_or_##T(GLOBAL const T* p, long i, long n, float other) { \
    if (n >= 8) return load8_##T(p, i);                                    \
    float v[8];                                                            \
    for (int k = 0; k < 8; ++k) v[k] = k < n ? load_##T(p, i + k) : other; \
    return pack8(v);                                                       \
  }                                                                        \
  FN void store8_some_##T(GLOBAL T* p, long i, long n, float8 x) {         \
    if (n >= 8) {                                                          \
      store8_##T(p, i, x);                                                 \
    } else {                                                               \
      float v[8];                                                          \
      unpack8(v, x);                                                       \
      for (int k = 0; k < 8; ++k)                                          \
        if (k < n) store_##T(p, i + k, v[k]);                              \
    }                                                                      \
  }
SOME8(f32)
SOME8(bf16)
SOME8(f16)
#define LOAD8_OR(T, p, i, n, other) PASTE(load8_or, T)(p, i, n, other)
#define STORE8_SOME(T, p, i, n, x) PASTE(store8_some, T)(p, i, n, x)

// In the order of a binary tree.
FN float sum8(float8 x) {
  float v[8];
  unpack8(v, x);
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
FN float max8(float8 x) {
  float v[8];
  unpack8(v, x);
  return fmax(fmax(fmax(v[0], v[4]), fmax(v[2], v[6])), fmax(fmax(v[1], v[5]), fmax(v[3], v[7])));
}

// Philox4x32-10 (Salmon et al., 2011): the words of elements 4 block … 4 block + 3, as codelets/uniform.hpp
// defines them.
FN void philox_block(uint seed, uint step, uint stream, ulong block, uint* words) {
  uint x0 = (uint)block, x1 = (uint)(block >> 32), x2 = stream, x3 = 0, k0 = seed, k1 = step;
  for (int round = 0; round < 10; ++round) {
    const uint a_high = MUL_HIGH(x0, 0xD2511F53u), a_low = x0 * 0xD2511F53u;
    const uint b_high = MUL_HIGH(x2, 0xCD9E8D57u), b_low = x2 * 0xCD9E8D57u;
    x0 = b_high ^ x1 ^ k0;
    x1 = b_low;
    x2 = a_high ^ x3 ^ k1;
    x3 = a_low;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = x0;
  words[1] = x1;
  words[2] = x2;
  words[3] = x3;
}
FN float unit_float(uint word) { return (float)(word >> 8) * 0x1p-24f; }  // in [0, 1)

// The uniform of element e.
FN float philox_uniform(uint seed, uint step, uint stream, ulong e) {
  uint x[4];
  philox_block(seed, step, stream, e / 4, x);
  const uint k = (uint)(e % 4);
  return unit_float(k == 0 ? x[0] : k == 1 ? x[1] : k == 2 ? x[2] : x[3]);
}
