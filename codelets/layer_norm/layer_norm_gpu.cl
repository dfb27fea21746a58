// layer_norm and rms_norm on devices. CENTRED: with means; SHIFTED: with a shift, and its gradient.
// SPDX-License-Identifier: Apache-2.0

#if CENTRED
#define MEAN(statistics, r) statistics[2 * (r)]
#define RSTD(statistics, r) statistics[2 * (r) + 1]
#else
#define MEAN(statistics, r) 0.0f
#define RSTD(statistics, r) statistics[r]
#endif

// A group per row; an item has CHAINS times eight columns out of WIDTH times as many, and as many sums, so
// that none waits for the one before. y holds the columns from first_col on.
#if WIDTH > 1
#define ROW_SUM(x) group_sum(sum8(sum_of_chains(x)), part)
#define ROW_PART() LOCAL float part[WIDTH]
#else
#define ROW_SUM(x) sum8(sum_of_chains(x))
#define ROW_PART()
#endif
#define EACH_EIGHT(c, cols) for (int c = 8 * ITEM(0); c < (cols); c += 8 * WIDTH)
#define EACH_CHAIN(c, o, cols)                                                        \
  for (int begin = 8 * CHAINS * ITEM(0); begin < (cols); begin += 8 * CHAINS * WIDTH) \
  UNROLL for (int o = 0, c = begin; o < CHAINS; ++o, c += 8)

FN float8 sum_of_chains(const float8* sums) {
  float8 sum = sums[0];
  UNROLL for (int o = 1; o < CHAINS; ++o) sum += sums[o];
  return sum;
}

KERNEL GROUP_SIZE(WIDTH, 1)
    normalise(GLOBAL const T* x, GLOBAL const float* scale, GLOBAL const float* shift,
              GLOBAL float* statistics, GLOBAL T* y, int cols, int first_col, int y_cols, float eps) {
  ROW_PART();
  const long r = GROUP(0), row = r * cols, y_row = r * y_cols;
  float mean = 0.0f;
#if CENTRED
  float8 sums[CHAINS];
  UNROLL for (int o = 0; o < CHAINS; ++o) sums[o] = SPLAT8(0.0f);
  EACH_CHAIN(c, o, cols) sums[o] += LOAD8_OR(T, x, row + c, cols - c, 0.0f);
  mean = ROW_SUM(sums) / (float)cols;
#endif
  float8 squares[CHAINS];
  UNROLL for (int o = 0; o < CHAINS; ++o) squares[o] = SPLAT8(0.0f);
  EACH_CHAIN(c, o, cols) {
    const float8 v = LOAD8_OR(T, x, row + c, cols - c, mean) - mean;
    squares[o] += v * v;
  }
  const float rstd = 1.0f / sqrt(ROW_SUM(squares) / (float)cols + eps);
  if (ITEM(0) == 0) {
    RSTD(statistics, r) = rstd;
#if CENTRED
    MEAN(statistics, r) = mean;
#endif
  }
  EACH_EIGHT(k, y_cols) {
    const int c = first_col + k, n = y_cols - k;
    float8 v = rstd * (LOAD8_OR(T, x, row + c, n, mean) - mean) * LOAD8_OR(f32, scale, c, n, 0.0f);
#if SHIFTED
    v += LOAD8_OR(f32, shift, c, n, 0.0f);
#endif
    STORE8_SOME(T, y, y_row + k, n, v);
  }
}

// With g = d_y · scale: d_x = rstd (g - mean(g) - x̂ mean(g x̂)), the columns from first_col on.
KERNEL GROUP_SIZE(WIDTH, 1)
    norm_backward(GLOBAL const T* x, GLOBAL const float* scale, GLOBAL const float* statistics,
                  GLOBAL const T* d_y, GLOBAL T* d_x, int cols, int first_col, int d_x_cols) {
  ROW_PART();
  const long r = GROUP(0), row = r * cols, d_x_row = r * d_x_cols;
  const float mean = MEAN(statistics, r), rstd = RSTD(statistics, r);
  float8 g_sums[CHAINS], dots[CHAINS];
  UNROLL for (int o = 0; o < CHAINS; ++o) g_sums[o] = dots[o] = SPLAT8(0.0f);
  EACH_CHAIN(c, o, cols) {
    const int n = cols - c;
    const float8 g = LOAD8_OR(T, d_y, row + c, n, 0.0f) * LOAD8_OR(f32, scale, c, n, 0.0f);
    g_sums[o] += g;
    dots[o] += g * (rstd * (LOAD8_OR(T, x, row + c, n, mean) - mean));
  }
  float g_mean = 0.0f;
#if CENTRED
  g_mean = ROW_SUM(g_sums) / (float)cols;
#endif
  const float dot = ROW_SUM(dots) / (float)cols;
  EACH_EIGHT(k, d_x_cols) {
    const int c = first_col + k, n = d_x_cols - k;
    const float8 hat = rstd * (LOAD8_OR(T, x, row + c, n, mean) - mean);
    const float8 g = LOAD8_OR(T, d_y, row + c, n, 0.0f) * LOAD8_OR(f32, scale, c, n, 0.0f);
    STORE8_SOME(T, d_x, d_x_row + k, n, rstd * (g - g_mean - dot * hat));
  }
}

// Over every ROWS rows, one group for COLS columns, of which an item has OCTETS times eight: to_scale = Σ d_y
// x̂ and, SHIFTED, to_shift = Σ d_y. Strand s sums the rows s, s + STRANDS, …, and the strands meet in a tree.
KERNEL GROUP_SIZE(COLS / 8 / OCTETS, STRANDS)
    norm_sums(GLOBAL const T* x, GLOBAL const float* statistics, GLOBAL const T* d_y, GLOBAL float* to_scale,
              GLOBAL float* to_shift, int rows, int cols) {
  LOCAL float scale_part[STRANDS * COLS], shift_part[STRANDS * COLS];
  const int strand = ITEM(1), within = ITEM(0) * 8 * OCTETS, first = GROUP(0) * COLS + within;
  const long chunk = GROUP(1);
  float8 scale_sums[OCTETS], shift_sums[OCTETS];
  UNROLL for (int o = 0; o < OCTETS; ++o) scale_sums[o] = shift_sums[o] = SPLAT8(0.0f);
  for (int k = 0; k < ROWS; k += STRANDS) {
    const long r = chunk * ROWS + k + strand;
    if (r >= rows) break;
    const float mean = MEAN(statistics, r), rstd = RSTD(statistics, r);
    UNROLL for (int o = 0; o < OCTETS; ++o) {
      const int c = first + 8 * o;
      const float8 d = LOAD8_OR(T, d_y, r * cols + c, cols - c, 0.0f);
      scale_sums[o] += d * (rstd * (LOAD8_OR(T, x, r * cols + c, cols - c, mean) - mean));
      shift_sums[o] += d;
    }
  }
  UNROLL for (int o = 0; o < OCTETS; ++o) {
    store8_local(scale_part + strand * COLS + within + 8 * o, scale_sums[o]);
    store8_local(shift_part + strand * COLS + within + 8 * o, shift_sums[o]);
  }
  BARRIER();
  for (int step = STRANDS / 2; step > 0; step /= 2) {
    if (strand < step)
      for (int c = within; c < within + 8 * OCTETS; ++c) {
        scale_part[strand * COLS + c] += scale_part[(strand + step) * COLS + c];
        shift_part[strand * COLS + c] += shift_part[(strand + step) * COLS + c];
      }
    BARRIER();
  }
  if (strand == 0)
    for (int o = 0; o < OCTETS; ++o) {
      const int c = first + 8 * o;
      STORE8_SOME(f32, to_scale, chunk * cols + c, cols - c, load8_local(scale_part + within + 8 * o));
#if SHIFTED
      STORE8_SOME(f32, to_shift, chunk * cols + c, cols - c, load8_local(shift_part + within + 8 * o));
#endif
    }
}
