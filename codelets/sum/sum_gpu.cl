// sum on devices: x is stored as S, what a row is spread to as T.
// SPDX-License-Identifier: Apache-2.0

// sum[c] (+)= Σ_r x[r, c]: strand s of a group sums the rows s, s + STRANDS, …, and the strands meet in a
// tree.
KERNEL GROUP_SIZE(COLS, STRANDS)
    sum_rows(GLOBAL const S* x, GLOBAL float* sum, long rows, long cols, int overwrite) {
  LOCAL float part[STRANDS * COLS];
  const int strand = ITEM(1), item = strand * COLS + ITEM(0);
  const long c = LONG_ITEM;
  float strand_sum = 0;
  for (long first = 0; first < rows; first += STRANDS)
    if (first + strand < rows && c < cols) strand_sum += LOAD(S, x, (first + strand) * cols + c);
  part[item] = strand_sum;
  BARRIER();
  for (int step = STRANDS / 2; step > 0; step /= 2) {
    if (strand < step) part[item] += part[item + step * COLS];
    BARRIER();
  }
  if (strand == 0 && c < cols) sum[c] = overwrite ? part[item] : sum[c] + part[item];
}

KERNEL accumulate(GLOBAL const float* part, GLOBAL float* sum, long n) {
  EACH_WIDE(i, n) STOREW(f32, sum, i, n, LOADW(f32, sum, i, n) + LOADW(f32, part, i, n));
}

KERNEL spread_rows(GLOBAL const S* x, GLOBAL T* y, long cols) {
  EACH_WIDE_IN_ROWS(r, c, cols) STOREW(T, y + r * cols, c, cols, LOADW(S, x, c, cols));
}
