// rmsprop on devices; SHADOW: the parameter is also written as T.
// SPDX-License-Identifier: Apache-2.0

KERNEL rmsprop(GLOBAL float* param, GLOBAL const float* grad, GLOBAL float* square, GLOBAL float* velocity,
               GLOBAL const float* lr, GLOBAL const float* control, GLOBAL T* shadow, long n, float old_s,
               float new_s, float eps, float decay, float momentum) {
  const int finite = control[1] != 0.0f;
  const float scale = control[0], rate = *lr;
  EACH_WIDE(i, finite ? n : 0) {
    const wide p = LOADW(f32, param, i, n), g = LOADW(f32, grad, i, n) * scale + decay * p;
    const wide s = old_s * LOADW(f32, square, i, n) + new_s * g * g;
    STOREW(f32, square, i, n, s);
    wide direction = g / (sqrt(s) + eps);
    if (MOMENTUM) {
      direction = momentum * LOADW(f32, velocity, i, n) + direction;
      STOREW(f32, velocity, i, n, direction);
    }
    const wide made = p - rate * direction;
    STOREW(f32, param, i, n, made);
    if (SHADOW) STOREW(T, shadow, i, n, made);
  }
}
