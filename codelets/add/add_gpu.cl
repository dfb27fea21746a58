// add on devices; the row vector is stored as B.
// SPDX-License-Identifier: Apache-2.0

KERNEL add(GLOBAL const T* a, GLOBAL const T* b, GLOBAL T* y, long n) {
  EACH_WIDE(i, n) STOREW(T, y, i, n, LOADW(T, a, i, n) + LOADW(T, b, i, n));
}

KERNEL add_row(GLOBAL const T* a, GLOBAL const B* b, GLOBAL T* y, long cols) {
  EACH_WIDE_IN_ROWS(r, c, cols) {
    const long row = r * cols;
    STOREW(T, y + row, c, cols, LOADW(T, a + row, c, cols) + LOADW(B, b, c, cols));
  }
}
