// sgd on devices; SHADOW: the parameter is also written as T.
// SPDX-License-Identifier: Apache-2.0

KERNEL sgd(GLOBAL float* param, GLOBAL const float* grad, GLOBAL float* velocity, GLOBAL const float* lr,
           GLOBAL const float* control, GLOBAL T* shadow, long n, float decay, float momentum) {
  const int finite = control[1] != 0.0f;
  const float scale = control[0], rate = *lr;
  FOR_EACH(i, finite ? n : 0) {
    const float p = param[i], g = grad[i] * scale + decay * p;
    float direction = g;
    if (MOMENTUM) {
      const float b = momentum * velocity[i] + g;
      velocity[i] = b;
      direction = NESTEROV ? g + momentum * b : b;
    }
    const float made = p - rate * direction;
    param[i] = made;
    if (SHADOW) STORE(T, shadow, i, made);
  }
}
