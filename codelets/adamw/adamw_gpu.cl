// adamw and adam on devices; SHADOW: the parameter is also written as T.
// SPDX-License-Identifier: Apache-2.0

// 1 - β^step = -expm1(step · log β), by its series where little is left. Not the function of that name, which
// is a call for each item on CPUs.
FN float one_minus_power(float log_beta, int step) {
  const float x = (float)step * log_beta;
  float series = 1.0f + x / 7.0f * (1.0f + x / 8.0f);
  series = 1.0f + x / 4.0f * (1.0f + x / 5.0f * (1.0f + x / 6.0f * series));
  series = 1.0f + x / 2.0f * (1.0f + x / 3.0f * series);
  return x < -0.5f ? 1.0f - exp(x) : -x * series;
}

KERNEL adam_step(GLOBAL float* param, GLOBAL const float* grad, GLOBAL float* m, GLOBAL float* v,
                 GLOBAL const float* lr, GLOBAL const i32* step, GLOBAL const float* control,
                 GLOBAL T* shadow, long n, float log_beta1, float log_beta2, float old_v, float new_m,
                 float new_v, float eps, float shrinkage, float decay) {
  const int finite = control[1] != 0.0f;
  const float scale = control[0], kept = 1.0f - *lr * shrinkage;
  const float rate = *lr / one_minus_power(log_beta1, *step);
  const float correct = 1.0f / sqrt(one_minus_power(log_beta2, *step));
  EACH_WIDE(i, finite ? n : 0) {
    const wide p = LOADW(f32, param, i, n), g = LOADW(f32, grad, i, n) * scale + decay * p;
    const wide mean = LOADW(f32, m, i, n), new_mean = mean + new_m * (g - mean);
    const wide new_square = old_v * LOADW(f32, v, i, n) + new_v * g * g;
    const wide made = p * kept - rate * (new_mean / (sqrt(new_square) * correct + eps));
    STOREW(f32, m, i, n, new_mean);
    STOREW(f32, v, i, n, new_square);
    STOREW(f32, param, i, n, made);
    if (SHADOW) STOREW(T, shadow, i, n, made);
  }
}
