// silu_mul on devices.
// SPDX-License-Identifier: Apache-2.0

FN float exp_minus(float x) { return EXP(fmin(80.0f, -x)); }  // finite: below -80 the sigmoid is 0

KERNEL silu_mul(GLOBAL const T* gate, GLOBAL const T* up, GLOBAL T* y, long n) {
  FOR_EACH(i, n) {
    const float g = LOAD(T, gate, i);
    STORE(T, y, i, g / (1.0f + exp_minus(g)) * LOAD(T, up, i));
  }
}

KERNEL silu_mul_backward(GLOBAL const T* gate, GLOBAL const T* up, GLOBAL const T* d_y, GLOBAL T* d_gate,
                         GLOBAL T* d_up, long n) {
  FOR_EACH(i, n) {
    const float g = LOAD(T, gate, i), d = LOAD(T, d_y, i);
    const float e = exp_minus(g), s = 1.0f / (1.0f + e);  // s = sigmoid(g); 1 - s = e s
    const float silu = g * s;
    STORE(T, d_gate, i, d * LOAD(T, up, i) * (silu * e * s + s));
    STORE(T, d_up, i, d * silu);
  }
}
