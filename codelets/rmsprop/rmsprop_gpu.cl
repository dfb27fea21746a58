// rmsprop on devices; SHADOW: the parameter is also written as T.
// SPDX-License-Identifier: Apache-2.0

KERNEL rmsprop(GLOBAL float* param, GLOBAL const float* grad, GLOBAL float* square, GLOBAL float* velocity,
               GLOBAL const float* lr, GLOBAL const float* control, GLOBAL T* shadow, long n, float old_s,
               float new_s, float eps, float decay, float momentum) {
  const int finite = control[1] != 0.0f;
  const float scale = control[0], rate = *lr;
  FOR_EACH(i, finite ? n : 0) {
    const float p = param[i], g = grad[i] * scale + decay * p;
    const float s = old_s * square[i] + new_s * g * g;
    square[i] = s;
    float direction = g / (sqrt(s) + eps);
    if (MOMENTUM) {
      direction = momentum * velocity[i] + direction;
      velocity[i] = direction;
    }
    const float made = p - rate * direction;
    param[i] = made;
    if (SHADOW) STORE(T, shadow, i, made);
  }
}
