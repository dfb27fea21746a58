// transpose on devices: values of T's size are moved and not looked at.
// SPDX-License-Identifier: Apache-2.0

#define EACH_OF_SQUARE(k, c)                    \
  for (int k = ITEM(1); k < SIDE; k += STRANDS) \
    for (int c = ITEM(0); c < SIDE; c += ITEM_COUNT)

// A group turns one square of SIDE × SIDE elements through local memory, so that it reads and writes rows. A
// further column keeps the items that read a column of it in unlike banks.
KERNEL GROUP_SIZE(ITEM_COUNT, STRANDS) transpose(GLOBAL const T* x, GLOBAL T* y, long rows, long cols) {
  LOCAL T square[SIDE * (SIDE + 1)];
  const long squares = (cols + SIDE - 1) / SIDE;  // side by side
  const long r0 = GROUP(0) / squares * SIDE, c0 = GROUP(0) % squares * SIDE;
  const int n_rows = (int)(rows - r0 < SIDE ? rows - r0 : SIDE),
            n_cols = (int)(cols - c0 < SIDE ? cols - c0 : SIDE);
  GLOBAL const T* from = x + r0 * cols + c0;
  GLOBAL T* to = y + c0 * rows + r0;
  if (n_rows == SIDE && n_cols == SIDE) {
    EACH_OF_SQUARE(k, c) square[k * (SIDE + 1) + c] = from[k * cols + c];
  } else {
    EACH_OF_SQUARE(k, c) if (k < n_rows && c < n_cols) square[k * (SIDE + 1) + c] = from[k * cols + c];
  }
  if (ITEM_COUNT > 1) BARRIER();
  if (n_rows == SIDE && n_cols == SIDE) {
    EACH_OF_SQUARE(k, r) to[k * rows + r] = square[r * (SIDE + 1) + k];
  } else {
    EACH_OF_SQUARE(k, r) if (k < n_cols && r < n_rows) to[k * rows + r] = square[r * (SIDE + 1) + k];
  }
}
