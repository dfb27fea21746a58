// gelu on devices; EXACT: by the error function, else by tanh.
// SPDX-License-Identifier: Apache-2.0

// The share of x that passes and its slope: y = x p(x), y' = p + x p'. In the tanh form p = sigmoid(x (a + b
// x²)).
#define A 1.5957691216f
#define B 0.0713548163f

FN float share(float x) {
  return EXACT ? 0.5f * erfc(-0.70710678f * x) : 1.0f / (1.0f + exp(-x * (A + B * x * x)));
}

FN float slope(float x) {
  if (EXACT) return share(x) + x * 0.39894228f * exp(-0.5f * x * x);
  x = fmin(10.0f, fmax(-10.0f, x));  // beyond, p is 0 or 1
  const float e = exp(-x * (A + B * x * x)), p = 1.0f / (1.0f + e);
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
