// clip_norm on devices.
// SPDX-License-Identifier: Apache-2.0

// part[group] = Σ x² over EACH · WIDTH elements
KERNEL GROUP_SIZE(WIDTH, 1) sum_squares(GLOBAL const T* x, GLOBAL float* part, long n) {
  LOCAL float sums[WIDTH];
  const long first = (long)GROUP(0) * (EACH * WIDTH) + ITEM(0);
  float sum = 0;
  for (int k = 0; k < EACH; ++k)
    if (first + k * WIDTH < n) {
      const float v = LOAD(T, x, first + k * WIDTH);
      sum += v * v;
    }
  sum = group_sum(sum, sums);
  if (ITEM(0) == 0) part[GROUP(0)] = sum;
}

// By one group.
FN float sum_of_parts(GLOBAL const float* part, int n, LOCAL_ARG float* sums) {
  float sum = 0;
  for (int first = 0; first < n; first += WIDTH)
    if (first + ITEM(0) < n) sum += part[first + ITEM(0)];
  return group_sum(sum, sums);
}

KERNEL GROUP_SIZE(WIDTH, 1) sum_parts(GLOBAL const float* part, GLOBAL float* sum, int n) {
  LOCAL float sums[WIDTH];
  const float all = sum_of_parts(part, n, sums);
  if (ITEM(0) == 0) *sum = all;
}

// Sums that lie in memory of their own become neighbours, from `at` on.
KERNEL gather(GLOBAL float* part, int at, GLOBAL const float* p0, GLOBAL const float* p1,
              GLOBAL const float* p2, GLOBAL const float* p3, GLOBAL const float* p4, GLOBAL const float* p5,
              GLOBAL const float* p6, GLOBAL const float* p7, GLOBAL const float* p8, GLOBAL const float* p9,
              GLOBAL const float* p10, GLOBAL const float* p11, GLOBAL const float* p12,
              GLOBAL const float* p13, GLOBAL const float* p14, GLOBAL const float* p15) {
  part[at] = *p0;
  part[at + 1] = *p1;
  part[at + 2] = *p2;
  part[at + 3] = *p3;
  part[at + 4] = *p4;
  part[at + 5] = *p5;
  part[at + 6] = *p6;
  part[at + 7] = *p7;
  part[at + 8] = *p8;
  part[at + 9] = *p9;
  part[at + 10] = *p10;
  part[at + 11] = *p11;
  part[at + 12] = *p12;
  part[at + 13] = *p13;
  part[at + 14] = *p14;
  part[at + 15] = *p15;
}

// control = {scale, finite, norm}
KERNEL GROUP_SIZE(WIDTH, 1)
    clip_norm(GLOBAL const float* part, GLOBAL float* control, int n, float max_norm) {
  LOCAL float sums[WIDTH];
  const float norm = sqrt(sum_of_parts(part, n, sums));
  if (ITEM(0) != 0) return;
  const int finite = isfinite(norm);
  control[0] = finite && max_norm > 0.0f ? fmin(1.0f, max_norm / (norm + 1e-6f)) : 1.0f;
  control[1] = finite ? 1.0f : 0.0f;
  control[2] = norm;
}
