// What OpenCL C and CUDA C++ call differently, under one name: the head of every device source.
// SPDX-License-Identifier: Apache-2.0
//
// Device sources are written in the common part of both languages. Storage types are words given on the
// command line (-DT=bf16): LOAD(T, p, i) and STORE(T, p, i, x) move between storage and float, LOAD4 and
// STORE4 four neighbours at once, which must lie at a multiple of four elements. Vectors are made by F4(a, b,
// c, d).
#ifdef __OPENCL_VERSION__

#define KERNEL __kernel void
// Inlined by the front end: PoCL replaces a kernel's local arrays by each thread's own, but in the kernel
// alone, and an optimiser may name the array in a function that is inlined later: threads then share it.
#define FN static inline __attribute__((always_inline))
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
#define GROUP_SIZE(x, y) __attribute__((reqd_work_group_size(x, y, 1)))
#define GROUP_SIZE_OF(x, y, together) GROUP_SIZE(x, y)
#define F4(a, b, c, d) ((float4)(a, b, c, d))
#define BITS_TO_FLOAT(x) as_float(x)
#define FLOAT_TO_BITS(x) as_uint(x)
#define MUL_HIGH(a, b) mul_hi(a, b)       // of uint
#define MUL_HIGH_LONG(a, b) mul_hi(a, b)  // of ulong
// n, as the length of a loop whose sums are to stay in registers: PoCL takes loops of the same length for all
// items apart, runs each turn for all items, and keeps sums in memory. This length looks like the item's own.
#define OWN_LENGTH(n) ((n) + min(ITEM(0), 0))
#define ATOMIC_ADD(p, n) atomic_add(p, n)  // of int; what was there before
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
#define GROUP_SIZE(x, y) __launch_bounds__((x) * (y), 1)  // one group on a multiprocessor may do: no spilling
#define GROUP_SIZE_OF(x, y, together) __launch_bounds__((x) * (y), together)  // so many on each
#define F4(a, b, c, d) make_float4(a, b, c, d)
#define BITS_TO_FLOAT(x) __uint_as_float(x)
#define FLOAT_TO_BITS(x) __float_as_uint(x)
#define MUL_HIGH(a, b) __umulhi(a, b)
#define OWN_LENGTH(n) (n)
#define MUL_HIGH_LONG(a, b) __umul64hi(a, b)
#define ATOMIC_ADD(p, n) atomicAdd(p, n)
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
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  ushort made;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(made) : "f"(x));
  return made;
#else
  const uint bits = FLOAT_TO_BITS(x);
  return x != x ? (ushort)(bits >> 16 | 0x40) : (ushort)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
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

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define LOAD(T, p, i) PASTE(load, T)(p, i)
#define STORE(T, p, i, x) PASTE(store, T)(p, i, x)
#define LOAD4(T, p, i) PASTE(load4, T)(p, i)
#define STORE4(T, p, i, x) PASTE(store4, T)(p, i, x)

// Before a loop of constant length.
#define UNROLL _Pragma("unroll")

// The elements of a launch over for_each(n), and with EACH_WIDE, WIDE at a time (vectors.h), over
// for_each_wide(n): one for every item of a GPU; on a CPU a run of neighbours, as its drivers make vectors of
// loops at best.
#ifdef ON_CPU
#define WIDE 16
#define EACH_BY(step, i, n)                                                                           \
  for (long end_ = (n), run_ = ((end_ + LONG_ITEMS - 1) / LONG_ITEMS - 1 + (step)) / (step) * (step), \
            i = LONG_ITEM * run_, last_ = min(end_, i + run_);                                        \
       i < last_; i += (step))
#define EACH_IN_ROWS_BY(step, r, c, cols) for (long r = GROUP(0), c = 0; c < (cols); c += (step))
#else
#define WIDE 8
#define EACH_BY(step, i, n) for (long i = LONG_ITEM * (step), end_ = (n); i < end_; i = end_)
#define EACH_IN_ROWS_BY(step, r, c, cols) \
  for (long r = GROUP(0), c = ((long)GROUP(1) * ITEMS(0) + ITEM(0)) * (step); c < (cols); c = (cols))
#endif
#define FOR_EACH(i, n) EACH_BY(1, i, n)
#define EACH_WIDE(i, n) EACH_BY(WIDE, i, n)

// The same for the elements [r, c] of a launch over for_each_in_rows(rows, cols), or for_each_wide_in_rows.
#define FOR_EACH_IN_ROWS(r, c, cols) EACH_IN_ROWS_BY(1, r, c, cols)
#define EACH_WIDE_IN_ROWS(r, c, cols) EACH_IN_ROWS_BY(WIDE, r, c, cols)

// The sum of the x of all items of a group, in a fixed order; `part` is local memory of ITEMS(0) floats, free
// again afterwards. Every item of the group must take part: a power of two of them, and 32 or more.
#ifdef __OPENCL_VERSION__
#define IN_A_TREE(combined)                                                \
  const int item = ITEM(0);                                                \
  part[item] = x;                                                          \
  BARRIER();                                                               \
  for (int step = ITEMS(0) / 2; step > 0; step /= 2) {                     \
    if (item < step) part[item] = combined(part[item], part[item + step]); \
    BARRIER();                                                             \
  }                                                                        \
  x = part[0];                                                             \
  BARRIER();                                                               \
  return x
#else
#define IN_A_TREE(combined)                                                                       \
  UNROLL for (int step = 16; step > 0; step /= 2) x = combined(x, __shfl_xor_sync(~0u, x, step)); \
  if (ITEM(0) % 32 == 0) part[ITEM(0) / 32] = x;                                                  \
  BARRIER();                                                                                      \
  x = part[0];                                                                                    \
  for (int warp = 1; warp < ITEMS(0) / 32; ++warp) x = combined(x, part[warp]);                   \
  BARRIER();                                                                                      \
  return x
#endif
FN float added(float a, float b) { return a + b; }
FN float group_sum(float x, LOCAL_ARG float* part) { IN_A_TREE(added); }
FN float group_max(float x, LOCAL_ARG float* part) { IN_A_TREE(fmax); }
