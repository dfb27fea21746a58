// scale on devices.
// SPDX-License-Identifier: Apache-2.0

KERNEL scale(GLOBAL const T* x, GLOBAL T* y, float factor, long n) {
  FOR_EACH(i, n) STORE(T, y, i, factor * LOAD(T, x, i));
}

KERNEL scale_by(GLOBAL const T* x, GLOBAL const float* factor, GLOBAL T* y, long n) {
  const float by = *factor;
  FOR_EACH(i, n) STORE(T, y, i, by * LOAD(T, x, i));
}
