// sgd on devices; SHADOW: the parameter is also written as T.
// SPDX-License-Identifier: Apache-2.0

KERNEL sgd(GLOBAL float* param, GLOBAL const float* grad, GLOBAL float* velocity, GLOBAL const float* lr,
           GLOBAL const float* control, GLOBAL T* shadow, long n, float decay, float momentum) {
  const int finite = control[1] != 0.0f;
  const float scale = control[0], rate = *lr;
  EACH_WIDE(i, finite ? n : 0) {
    const wide p = LOADW(f32, param, i, n), g = LOADW(f32, grad, i, n) * scale + decay * p;
    wide direction = g;
    if (MOMENTUM) {
      const wide b = momentum * LOADW(f32, velocity, i, n) + g;
      STOREW(f32, velocity, i, n, b);
      direction = NESTEROV ? g + momentum * b : b;
    }
    const wide made = p - rate * direction;
    STOREW(f32, param, i, n, made);
    if (SHADOW) STOREW(T, shadow, i, n, made);
  }
}
