// adamw and adam on devices; SHADOW: the parameter is also written as T.
// SPDX-License-Identifier: Apache-2.0

// 1 - β^step, from log β, without losing what is left for a β close to 1
FN float one_minus_power(float log_beta, int step) { return -expm1((float)step * log_beta); }

KERNEL adam_step(GLOBAL float* param, GLOBAL const float* grad, GLOBAL float* m, GLOBAL float* v,
                 GLOBAL const float* lr, GLOBAL const i32* step, GLOBAL const float* control,
                 GLOBAL T* shadow, long n, float log_beta1, float log_beta2, float old_v, float new_m,
                 float new_v, float eps, float shrinkage, float decay) {
  LOCAL float factors[2];
  if (ITEM(0) == 0) {
    factors[0] = *lr / one_minus_power(log_beta1, *step);
    factors[1] = 1.0f / sqrt(one_minus_power(log_beta2, *step));
  }
  BARRIER();
  if (control[1] == 0.0f) return;  // the gradients are not finite
  const float scale = control[0], rate = factors[0], correct = factors[1], kept = 1.0f - *lr * shrinkage;
  FOR_EACH(i, n) {
    const float p = param[i], g = grad[i] * scale + decay * p;
    const float new_mean = m[i] + new_m * (g - m[i]), new_square = old_v * v[i] + new_v * g * g;
    const float made = p * kept - rate * (new_mean / (sqrt(new_square) * correct + eps));
    m[i] = new_mean;
    v[i] = new_square;
    param[i] = made;
    if (SHADOW) STORE(T, shadow, i, made);
  }
}
