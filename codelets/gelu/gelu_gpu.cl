// gelu on devices; EXACT: by the error function, else by tanh.
// SPDX-License-Identifier: Apache-2.0

// The share of x that passes and its slope: y = x p(x), y' = p + x p'. In the tanh form p = sigmoid(x (a + b
// x²)); in the exact one p = Φ(x), the normal distribution.
#define A 1.5957691216f
#define B 0.0713548163f

// Φ(x), and φ(x) through `density`, without branches: as codelets/simd_math.hpp has it.
FN float normal(float x, float* density) {
  const float a = fmin(15.0f, fabs(x)), square = a * a;
  const float lost = fma(a, a, -square);  // what rounding took from the square
  const float e = EXP(-0.5f * square), gauss = e - 0.5f * lost * e;
  const float t = 1.0f / (1.0f + 0.35f * a);
  float p = -0.02915787324309349f;
  p = fma(p, t, 0.1440308690071106f);
  p = fma(p, t, -0.25583893060684204f);
  p = fma(p, t, 0.15931960940361023f);
  p = fma(p, t, -0.023212289437651634f);
  p = fma(p, t, 0.10555247962474823f);
  p = fma(p, t, 0.11982129514217377f);
  p = fma(p, t, 0.1398635059595108f);
  p = fma(p, t, 0.139621302485466f);
  const float tail = p * t * gauss;
  *density = 0.3989422804f * gauss;
  return x < 0.0f ? tail : 1.0f - tail;
}

FN float share(float x) {
  float density;
  return EXACT ? normal(x, &density) : 1.0f / (1.0f + EXP(-x * (A + B * x * x)));
}

FN float slope(float x) {
  float density;
  if (EXACT) {
    const float p = normal(x, &density);
    return p + x * density;
  }
  x = fmin(10.0f, fmax(-10.0f, x));  // beyond, p is 0 or 1
  const float e = EXP(-x * (A + B * x * x)), p = 1.0f / (1.0f + e);
  return p + x * p * (e * p) * (A + 3.0f * B * x * x);
}

KERNEL gelu(GLOBAL const T* x, GLOBAL T* y, long n) {
  FOR_EACH(i, n) {
    const float v = LOAD(T, x, i);
    STORE(T, y, i, v * share(v));
  }
}

KERNEL gelu_backward(GLOBAL const T* x, GLOBAL const T* d_y, GLOBAL T* d_x, long n) {
  FOR_EACH(i, n) STORE(T, d_x, i, LOAD(T, d_y, i) * slope(LOAD(T, x, i)));
}
