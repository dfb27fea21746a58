// Vectors of eight: the third part of every device source's head.
// SPDX-License-Identifier: Apache-2.0

// Eight floats in one vector register of a CPU, and in eight registers of a GPU: for inner loops of products.
#ifdef __OPENCL_VERSION__
#define SPLAT8(x) ((float8)(x))
FN float8 load8_local(LOCAL_ARG const float* p) { return vload8(0, p); }
FN float8 load8_f32(GLOBAL const f32* p, long i) { return vload8(0, p + i); }
FN float8 load8_bf16(GLOBAL const bf16* p, long i) {
  return as_float8(convert_uint8(vload8(0, p + i)) << 16);
}
FN float8 load8_f16(GLOBAL const f16* p, long i) {
  const ushort8 bits = *(GLOBAL const ushort8_at*)(p + i);
  return vload_half8(0, (const half*)&bits);
}
FN void store8_local(LOCAL_ARG float* p, float8 x) { vstore8(x, 0, p); }
FN void store8_f32(GLOBAL f32* p, long i, float8 x) { vstore8(x, 0, p + i); }
FN void store8_bf16(GLOBAL bf16* p, long i, float8 x) {
  const uint8 bits = as_uint8(x);
  const uint8 rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  *(GLOBAL ushort8_at*)(p + i) = convert_ushort8(x != x ? bits >> 16 | 0x40 : rounded);
}
FN void store8_f16(GLOBAL f16* p, long i, float8 x) {
  ushort8 bits;
  vstore_half8_rte(x, 0, (half*)&bits);
  *(GLOBAL ushort8_at*)(p + i) = bits;
}
FN void unpack8(float* to, float8 x) { vstore8(x, 0, to); }
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
FN float8 lanes8(float first) { EACH8(first + k); }
FN float8 within8(float8 low, float8 at, float8 high, float8 x, float other) {
  EACH8(at.v[k] >= low.v[k] && at.v[k] < high.v[k] ? x.v[k] : other);
}
FN float8 bits8(uint bits, float yes) { EACH8(bits >> k & 1 ? yes : 0.0f); }
FN float8 exp2_negative8(float8 x) { EACH8(exp2f(x.v[k])); }

#endif

#define LOAD8(T, p, i) PASTE(load8, T)(p, i)  // of any eight neighbours

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
