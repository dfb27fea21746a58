// layer_norm and rms_norm on devices. CENTRED: with means; SHIFTED: with a shift, and its gradient.
// SPDX-License-Identifier: Apache-2.0
//
// A row is ITEM_COUNT items', and a group has ROWS_AT_ONCE rows at a time. Where an item's part of a row fits
// into registers, these are HELD times WIDE columns of a whole number of them; else HELD is 0, and it reads
// the row as often as it needs it, CHAINS times WIDE columns at a time, for as many sums: so that none waits
// for the one before.

#if CENTRED
#define MEAN(statistics, r) statistics[2 * (r)]
#define RSTD(statistics, r) statistics[2 * (r) + 1]
#else
#define MEAN(statistics, r) 0.0f
#define RSTD(statistics, r) statistics[r]
#endif

#if HELD

#define EACH_HELD(k, c) UNROLL for (int k = 0, c = WIDE * ITEM(0); k < HELD; ++k, c += WIDE * ITEM_COUNT)
#define HELD_COLS (HELD * WIDE * ITEM_COUNT)

KERNEL GROUP_SIZE(ITEM_COUNT, ROWS_AT_ONCE)
    normalise(GLOBAL const T* x, GLOBAL const float* scale, GLOBAL const float* shift,
              GLOBAL float* statistics, GLOBAL T* y, int rows, int cols, int first_col, int y_cols,
              float eps) {
  LOCAL float parts[ROWS_AT_ONCE * ITEM_COUNT];
  LOCAL_ARG float* part = parts + ITEM(1) * ITEM_COUNT;
  const long own = (long)GROUP(0) * ROWS_AT_ONCE + ITEM(1), r = own < rows ? own : rows - 1;
  wide v[HELD], sum = SPLAT(0.0f), squares = SPLAT(0.0f);
  EACH_HELD(k, c) {
    v[k] = c < cols ? WHOLE(T, x + r * cols, c) : SPLAT(0.0f);
    sum += v[k];
  }
  float mean = 0.0f;
#if CENTRED
  mean = group_sum(sum_wide(sum), part) / (float)cols;
#endif
  EACH_HELD(k, c) if (c < cols) {
    v[k] = v[k] - mean;
    squares += v[k] * v[k];
  }
  const float rstd = 1.0f / sqrt(group_sum(sum_wide(squares), part) / (float)cols + eps);
  if (own >= rows) return;
  if (ITEM(0) == 0) {
    RSTD(statistics, r) = rstd;
#if CENTRED
    MEAN(statistics, r) = mean;
#endif
  }
  EACH_HELD(k, c) if (c < cols) {
    v[k] = rstd * v[k] * WHOLE(f32, scale, c);
#if SHIFTED
    v[k] += WHOLE(f32, shift, c);
#endif
    PUT_WHOLE(T, y + r * cols, c, v[k]);
  }
}

// The sums over the rows that a group has at a time, to the group's row of `to`.
FN void store_sums(const wide* sums, LOCAL_ARG float* room, GLOBAL float* to, int cols) {
  EACH_HELD(k, c) store_wide_local(room + ITEM(1) * HELD_COLS + c, sums[k]);
  BARRIER();
  for (int c = ITEM(1) * ITEM_COUNT + ITEM(0); c < cols; c += ROWS_AT_ONCE * ITEM_COUNT) {
    float sum = room[c];
    UNROLL for (int i = 1; i < ROWS_AT_ONCE; ++i) sum += room[i * HELD_COLS + c];
    to[(long)GROUP(0) * cols + c] = sum;
  }
  BARRIER();
}

// With g = d_y · scale: d_x = rstd (g - mean(g) - x̂ mean(g x̂)) of ROWS rows for each group; and of these rows
// to_scale = Σ d_y x̂ and, SHIFTED, to_shift = Σ d_y.
KERNEL GROUP_SIZE_OF(ITEM_COUNT, ROWS_AT_ONCE, 512 / (ITEM_COUNT * ROWS_AT_ONCE))
    norm_backward(GLOBAL const T* x, GLOBAL const float* scale, GLOBAL const float* statistics,
                  GLOBAL const T* d_y, GLOBAL T* d_x, GLOBAL float* to_scale, GLOBAL float* to_shift,
                  int rows, int cols, int first_col, int d_x_cols) {
  LOCAL float room[ROWS_AT_ONCE * HELD_COLS];
  LOCAL_ARG float* part = room + ITEM(1) * ITEM_COUNT;
  wide scale_sums[HELD], shift_sums[HELD];
  UNROLL for (int k = 0; k < HELD; ++k) scale_sums[k] = shift_sums[k] = SPLAT(0.0f);
  for (int turn = 0; turn < ROWS; turn += ROWS_AT_ONCE) {
    const long own = (long)GROUP(0) * ROWS + turn + ITEM(1), r = own < rows ? own : rows - 1;
    const float mean = MEAN(statistics, r), rstd = RSTD(statistics, r);
    wide hat[HELD], g_sum = SPLAT(0.0f), dots = SPLAT(0.0f);
    EACH_HELD(k, c) if (c < cols) {
      hat[k] = rstd * (WHOLE(T, x + r * cols, c) - mean);
      const wide g = WHOLE(T, d_y + r * cols, c) * WHOLE(f32, scale, c);
      g_sum += g;
      dots += g * hat[k];
    }
    float g_mean = 0.0f;
#if CENTRED
    g_mean = group_sum(sum_wide(g_sum), part) / (float)cols;
#endif
    const float dot = group_sum(sum_wide(dots), part) / (float)cols;
    EACH_HELD(k, c) if (c < cols && own < rows) {
      const wide d = WHOLE(T, d_y + r * cols, c);  // from the cache: registers are for the sums
      PUT_WHOLE(T, d_x + r * cols, c, rstd * (d * WHOLE(f32, scale, c) - g_mean - dot * hat[k]));
      scale_sums[k] += d * hat[k];
      shift_sums[k] += d;
    }
  }
  BARRIER();
  store_sums(scale_sums, room, to_scale, cols);
#if SHIFTED
  store_sums(shift_sums, room, to_shift, cols);
#endif
}

#else

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

// The columns of d_x from first_col on.
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
      const wide before = r == first ? SPLAT(0.0f) : LOADW(f32, scale_sum, c, d_x_cols);
      STOREW(f32, scale_sum, c, d_x_cols, before + d * hat);
#if SHIFTED
      const wide shift_before = r == first ? SPLAT(0.0f) : LOADW(f32, shift_sum, c, d_x_cols);
      STOREW(f32, shift_sum, c, d_x_cols, shift_before + d);
#endif
    }
  }
}

#endif
