// gelu on devices; EXACT: by the error function, else by tanh.
// SPDX-License-Identifier: Apache-2.0

// y = x p(x), y' = p + x p'. In the tanh form p = sigmoid(x (a + b x²)); in the exact one p = Φ(x), the
// normal distribution.
#define A 1.5957691216f
#define B 0.0713548163f

// Φ(-a) for 0 ≤ a ≤ 13, and `gauss` = exp(-a²/2), without branches. In float as codelets/simd_math.hpp has
// it, for results of 16 bits to 2^-13.
FN wide tail_f32(wide a, wide* gauss) {
  const wide square = a * a, lost = fma(a, a, -square);  // what rounding took from the square
  const wide e = exp_to_f32(-0.5f * square), t = 1.0f / (1.0f + 0.35f * a);
  *gauss = e - 0.5f * lost * e;
  wide p = -0.02915787324309349f * t + 0.1440308690071106f;
  p = p * t - 0.25583893060684204f;
  p = p * t + 0.15931960940361023f;
  p = p * t - 0.023212289437651634f;
  p = p * t + 0.10555247962474823f;
  p = p * t + 0.11982129514217377f;
  p = p * t + 0.1398635059595108f;
  p = p * t + 0.139621302485466f;
  return p * t * *gauss;
}
FN wide tail_bf16(wide a, wide* gauss) {
  *gauss = exp2_to_bf16(-0.72134752f, a * a);
  const wide t = recip_to_bf16(1.0f + 0.4f * a);
  wide p = -0.082556168f * t + 0.13860785f;
  p = p * t + 0.12528109f;
  p = p * t + 0.15885858f;
  p = p * t + 0.15976695f;
  return p * t * *gauss;
}
#define tail_f16 tail_bf16
#define TAIL(T, a, gauss) PASTE(tail, T)(a, gauss)

// exp(-x (a + b x²)) for -10 ≤ x ≤ 10; for 16 bits with the last product inside the exponent's own.
FN wide exp_of_f32(wide x) { return exp_to_f32(-x * (A + B * x * x)); }
FN wide exp_of_bf16(wide x) { return exp2_of_product_bf16(-1.44269504f * A - 1.44269504f * B * (x * x), x); }
#define exp_of_f16 exp_of_bf16

FN wide gelu_of(wide x) {
  if (EXACT) {
    wide gauss;
    const wide a = smaller(magnitude(x), 13.0f);
    return pick(x < 0.0f, SPLAT(0.0f), x) - a * TAIL(T, a, &gauss);  // x brings a NaN
  }
  return x * RECIPW(T, 1.0f + PASTE(exp_of, T)(clamped(x, -9.98f, 9.98f)));
}

FN wide slope(wide x) {
  if (EXACT) {
    wide gauss;
    const wide tail = TAIL(T, at_most(13.0f, magnitude(x)), &gauss), p = pick(x < 0.0f, tail, 1.0f - tail);
    return p + x * (0.3989422804f * gauss);
  }
  x = clamped(x, -10.0f, 10.0f);  // beyond, p is 0 or 1
  const wide e = PASTE(exp_of, T)(x), p = RECIPW(T, 1.0f + e);
  return p + x * p * (e * p) * (A + 3.0f * B * x * x);
}

KERNEL gelu(GLOBAL const T* x, GLOBAL T* y, long n) {
  EACH_WIDE(i, n) {
    LOAD_AHEAD(x + i);
    STOREW(T, y, i, n, gelu_of(LOADW(T, x, i, n)));
  }
}

KERNEL gelu_backward(GLOBAL const T* x, GLOBAL const T* d_y, GLOBAL T* d_x, long n) {
  EACH_WIDE(i, n) {
    LOAD_AHEAD(x + i);
    LOAD_AHEAD(d_y + i);
    STOREW(T, d_x, i, n, LOADW(T, d_y, i, n) * slope(LOADW(T, x, i, n)));
  }
}
