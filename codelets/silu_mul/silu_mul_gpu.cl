// silu_mul on devices.
// SPDX-License-Identifier: Apache-2.0

FN wide exp_minus(wide x) { return EXPW(T, clamped(-x, -87.0f, 80.0f)); }  // beyond, the sigmoid is 0 or 1

KERNEL silu_mul(GLOBAL const T* gate, GLOBAL const T* up, GLOBAL T* y, long n) {
  EACH_WIDE(i, n) {
    const wide g = LOADW(T, gate, i, n);
    STOREW(T, y, i, n, g * RECIPW(T, 1.0f + exp_minus(g)) * LOADW(T, up, i, n));
  }
}

KERNEL silu_mul_backward(GLOBAL const T* gate, GLOBAL const T* up, GLOBAL const T* d_y, GLOBAL T* d_gate,
                         GLOBAL T* d_up, long n) {
  EACH_WIDE(i, n) {
    const wide g = LOADW(T, gate, i, n), d = LOADW(T, d_y, i, n);
    const wide e = exp_minus(g), s = RECIPW(T, 1.0f + e);  // s = sigmoid(g); 1 - s = e s
    const wide silu = g * s;
    STOREW(T, d_gate, i, n, d * LOADW(T, up, i, n) * (silu * e * s + s));
    STOREW(T, d_up, i, n, d * silu);
  }
}
