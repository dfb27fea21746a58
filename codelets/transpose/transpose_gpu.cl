// transpose on devices: values of T's size are moved and not looked at.
// SPDX-License-Identifier: Apache-2.0

// A group turns one square of SIDE × SIDE elements through local memory, so that it reads and writes rows. A
// further column keeps the items that read a column of it in unlike banks.
KERNEL GROUP_SIZE(SIDE, STRANDS) transpose(GLOBAL const T* x, GLOBAL T* y, long rows, long cols) {
  LOCAL T square[SIDE * (SIDE + 1)];
  const int item = ITEM(0), strand = ITEM(1);
  const long squares = (cols + SIDE - 1) / SIDE;  // side by side
  const long r0 = GROUP(0) / squares * SIDE, c0 = GROUP(0) % squares * SIDE;
  for (int k = 0; k < SIDE; k += STRANDS)
    if (r0 + k + strand < rows && c0 + item < cols)
      square[(k + strand) * (SIDE + 1) + item] = x[(r0 + k + strand) * cols + c0 + item];
  BARRIER();
  for (int k = 0; k < SIDE; k += STRANDS)
    if (c0 + k + strand < cols && r0 + item < rows)
      y[(c0 + k + strand) * rows + r0 + item] = square[item * (SIDE + 1) + k + strand];
}
