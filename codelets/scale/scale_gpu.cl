// scale on devices.
// SPDX-License-Identifier: Apache-2.0

KERNEL scale(GLOBAL const T* x, GLOBAL T* y, float factor, long n) {
  EACH_WIDE(i, n) STOREW(T, y, i, n, factor * LOADW(T, x, i, n));
}

KERNEL scale_by(GLOBAL const T* x, GLOBAL const float* factor, GLOBAL T* y, long n) {
  const float by = *factor;
  EACH_WIDE(i, n) STOREW(T, y, i, n, by * LOADW(T, x, i, n));
}
