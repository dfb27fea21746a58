// sum on devices: x is stored as S, what a row is spread to as T.
// SPDX-License-Identifier: Apache-2.0

// For every rows_each rows: sum[chunk, c] (+)= Σ_r x[r, c]. An item has WIDE columns, a group COLS times as
// many; strand s of a group sums the rows s, s + STRANDS, …, and the strands meet in a tree.
KERNEL GROUP_SIZE(COLS, STRANDS)
    sum_rows(GLOBAL const S* x, GLOBAL float* sum, long rows, long cols, long rows_each, int overwrite) {
  LOCAL float part[STRANDS * COLS * WIDE];
  const int strand = ITEM(1), at = (strand * COLS + ITEM(0)) * WIDE;
  const long c = ((long)GROUP(0) * COLS + ITEM(0)) * WIDE, chunk = GROUP(1);
  const long end = min((chunk + 1) * rows_each, rows);
  wide strand_sum = SPLAT(0.0f);
  long r = chunk * rows_each + strand;
  if (c + WIDE <= cols && MAY_BE_WHOLE(x + c) && MAY_BE_WHOLE(x + cols + c)) {
    for (; r + 3 * STRANDS < end; r += 4 * STRANDS) {  // without branches, so that four loads are under way
      wide v[4];
      UNROLL for (int k = 0; k < 4; ++k) v[k] = WHOLE(S, x + (r + k * STRANDS) * cols, c);
      UNROLL for (int k = 0; k < 4; ++k) strand_sum += v[k];
    }
  }
  if (c < cols)
    for (; r < end; r += STRANDS) strand_sum += LOADW(S, x + r * cols, c, cols);
  store_wide_local(part + at, strand_sum);
  BARRIER();
  for (int step = STRANDS / 2; step > 0; step /= 2) {
    if (strand < step)
      store_wide_local(part + at, wide_local(part + at) + wide_local(part + at + step * COLS * WIDE));
    BARRIER();
  }
  if (strand == 0 && c < cols) {
    const wide all = wide_local(part + at);
    GLOBAL float* to = sum + chunk * cols;
    STOREW(f32, to, c, cols, overwrite ? all : LOADW(f32, to, c, cols) + all);
  }
}

KERNEL accumulate(GLOBAL const float* part, GLOBAL float* sum, long n) {
  EACH_WIDE(i, n) STOREW(f32, sum, i, n, LOADW(f32, sum, i, n) + LOADW(f32, part, i, n));
}

KERNEL spread_rows(GLOBAL const S* x, GLOBAL T* y, long cols) {
  EACH_WIDE_IN_ROWS(r, c, cols) STOREW(T, y + r * cols, c, cols, LOADW(S, x, c, cols));
}
