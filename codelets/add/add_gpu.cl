// add on devices; the row vector is stored as B.
// SPDX-License-Identifier: Apache-2.0

KERNEL add(GLOBAL const T* a, GLOBAL const T* b, GLOBAL T* y, long n) {
  FOR_EACH(i, n) STORE(T, y, i, LOAD(T, a, i) + LOAD(T, b, i));
}

KERNEL add_row(GLOBAL const T* a, GLOBAL const B* b, GLOBAL T* y, long cols) {
  FOR_EACH_IN_ROWS(r, c, cols) STORE(T, y, r * cols + c, LOAD(T, a, r * cols + c) + LOAD(B, b, c));
}
