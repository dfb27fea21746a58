// layer_norm and rms_norm on devices. CENTRED: with means; SHIFTED: with a shift, and its gradient.
// SPDX-License-Identifier: Apache-2.0

#if CENTRED
#define MEAN(statistics, r) statistics[2 * (r)]
#define RSTD(statistics, r) statistics[2 * (r) + 1]
#else
#define MEAN(statistics, r) 0.0f
#define RSTD(statistics, r) statistics[r]
#endif

// A group of ITEM_COUNT items has a row, of which an item takes CHAINS times WIDE columns at a time, for as
// many sums: so that none waits for the one before.
#if ITEM_COUNT > 1
#define ROW_SUM(x) group_sum(sum_of_chains(x), part)
#define ROW_PART() LOCAL float part[ITEM_COUNT]
#else
#define ROW_SUM(x) sum_of_chains(x)
#define ROW_PART()
#endif
#define EACH_OF_ROW(c, cols) for (int c = WIDE * ITEM(0); c < (cols); c += WIDE * ITEM_COUNT)
#define EACH_CHAIN(c, o, cols)                                                                   \
  for (int begin = WIDE * CHAINS * ITEM(0); begin < (cols); begin += WIDE * CHAINS * ITEM_COUNT) \
  UNROLL for (int o = 0, c = begin; o < CHAINS; ++o, c += WIDE)

FN float sum_of_chains(const wide* sums) {
  wide sum = sums[0];
  UNROLL for (int o = 1; o < CHAINS; ++o) sum += sums[o];
  return sum_wide(sum);
}

// ROWS rows for each group. y holds the columns from first_col on.
KERNEL GROUP_SIZE(ITEM_COUNT, 1) normalise(GLOBAL const T* x, GLOBAL const float* scale,
                                           GLOBAL const float* shift, GLOBAL float* statistics, GLOBAL T* y,
                                           int rows, int cols, int first_col, int y_cols, float eps) {
  ROW_PART();
  const long first = (long)GROUP(0) * ROWS, end = first + ROWS < rows ? first + ROWS : rows;
  for (long r = first; r < end; ++r) {
    const GLOBAL T* row = x + r * cols;
    float mean = 0.0f;
#if CENTRED
    wide sums[CHAINS];
    UNROLL for (int o = 0; o < CHAINS; ++o) sums[o] = SPLAT(0.0f);
    EACH_CHAIN(c, o, cols) sums[o] += LOADW(T, row, c, cols);
    mean = ROW_SUM(sums) / (float)cols;
#endif
    wide squares[CHAINS];
    UNROLL for (int o = 0; o < CHAINS; ++o) squares[o] = SPLAT(0.0f);
    EACH_CHAIN(c, o, cols) {
      const wide v = LOADW_OR(T, row, c, cols, mean) - mean;
      squares[o] += v * v;
    }
    const float rstd = 1.0f / sqrt(ROW_SUM(squares) / (float)cols + eps);
    if (ITEM(0) == 0) {
      RSTD(statistics, r) = rstd;
#if CENTRED
      MEAN(statistics, r) = mean;
#endif
    }
    EACH_OF_ROW(c, y_cols) {
      wide v =
          rstd * (LOADW(T, row + first_col, c, y_cols) - mean) * LOADW(f32, scale + first_col, c, y_cols);
#if SHIFTED
      v += LOADW(f32, shift + first_col, c, y_cols);
#endif
      STOREW(T, y + r * y_cols, c, y_cols, v);
    }
  }
}

// With g = d_y · scale: d_x = rstd (g - mean(g) - x̂ mean(g x̂)), the columns from first_col on, of ROWS rows
// for each group. SUMMED: to_scale = Σ d_y x̂ and, SHIFTED, to_shift = Σ d_y over these rows, in their order.
KERNEL GROUP_SIZE(ITEM_COUNT, 1)
    norm_backward(GLOBAL const T* x, GLOBAL const float* scale, GLOBAL const float* statistics,
                  GLOBAL const T* d_y, GLOBAL T* d_x, GLOBAL float* to_scale, GLOBAL float* to_shift,
                  int rows, int cols, int first_col, int d_x_cols) {
  ROW_PART();
  GLOBAL float* scale_sum = to_scale + (long)GROUP(0) * cols + first_col;
  GLOBAL float* shift_sum = to_shift + (long)GROUP(0) * cols + first_col;
  const long first = (long)GROUP(0) * ROWS, end = first + ROWS < rows ? first + ROWS : rows;
  for (long r = first; r < end; ++r) {
    const GLOBAL T *row = x + r * cols, *d_row = d_y + r * cols;
    const float mean = MEAN(statistics, r), rstd = RSTD(statistics, r);
    wide g_sums[CHAINS], dots[CHAINS];
    UNROLL for (int o = 0; o < CHAINS; ++o) g_sums[o] = dots[o] = SPLAT(0.0f);
    EACH_CHAIN(c, o, cols) {
      const wide g = LOADW(T, d_row, c, cols) * LOADW(f32, scale, c, cols);
      g_sums[o] += g;
      dots[o] += g * (rstd * (LOADW(T, row, c, cols) - mean));
    }
    float g_mean = 0.0f;
#if CENTRED
    g_mean = ROW_SUM(g_sums) / (float)cols;
#endif
    const float dot = ROW_SUM(dots) / (float)cols;
    EACH_OF_ROW(c, d_x_cols) {
      const wide hat = rstd * (LOADW(T, row + first_col, c, d_x_cols) - mean);
      const wide d = LOADW(T, d_row + first_col, c, d_x_cols);
      const wide g = d * LOADW(f32, scale + first_col, c, d_x_cols);
      STOREW(T, d_x + r * d_x_cols, c, d_x_cols, rstd * (g - g_mean - dot * hat));
#if SUMMED
      const wide before = r == first ? SPLAT(0.0f) : LOADW(f32, scale_sum, c, d_x_cols);
      STOREW(f32, scale_sum, c, d_x_cols, before + d * hat);
#if SHIFTED
      const wide shift_before = r == first ? SPLAT(0.0f) : LOADW(f32, shift_sum, c, d_x_cols);
      STOREW(f32, shift_sum, c, d_x_cols, shift_before + d);
#endif
#endif
    }
  }
}

// The same sums over every ROWS rows, on devices whose groups have many items: each for COLS · WIDE columns,
// an item for WIDE of them. Strand s sums the rows s, s + STRANDS, …, and the strands meet in a tree.
KERNEL GROUP_SIZE(COLS, STRANDS)
    norm_sums(GLOBAL const T* x, GLOBAL const float* statistics, GLOBAL const T* d_y, GLOBAL float* to_scale,
              GLOBAL float* to_shift, int rows, int cols) {
  LOCAL float scale_part[STRANDS * COLS * WIDE], shift_part[STRANDS * COLS * WIDE];
  const int strand = ITEM(1), at = (strand * COLS + ITEM(0)) * WIDE;
  const int c = (GROUP(0) * COLS + ITEM(0)) * WIDE;
  const long chunk = GROUP(1);
  wide scale_sum = SPLAT(0.0f), shift_sum = SPLAT(0.0f);
  if (c < cols)
    for (int k = strand; k < ROWS; k += STRANDS) {
      const long r = chunk * ROWS + k;
      if (r >= rows) break;
      const wide d = LOADW(T, d_y + r * cols, c, cols);
      scale_sum += d * (RSTD(statistics, r) * (LOADW(T, x + r * cols, c, cols) - MEAN(statistics, r)));
      shift_sum += d;
    }
  store_wide_local(scale_part + at, scale_sum);
  store_wide_local(shift_part + at, shift_sum);
  BARRIER();
  for (int step = STRANDS / 2; step > 0; step /= 2) {
    if (strand < step) {
      const int other = at + step * COLS * WIDE;
      store_wide_local(scale_part + at, wide_local(scale_part + at) + wide_local(scale_part + other));
      store_wide_local(shift_part + at, wide_local(shift_part + at) + wide_local(shift_part + other));
    }
    BARRIER();
  }
  if (strand == 0 && c < cols) {
    STOREW(f32, to_scale + chunk * cols, c, cols, wide_local(scale_part + at));
#if SHIFTED
    STOREW(f32, to_shift + chunk * cols, c, cols, wide_local(shift_part + at));
#endif
  }
}
