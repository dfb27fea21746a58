// layer_norm and rms_norm on devices. CENTRED: with means; SHIFTED: with a shift, and its gradient.
// SPDX-License-Identifier: Apache-2.0

#if CENTRED
#define MEAN(statistics, r) statistics[2 * (r)]
#define RSTD(statistics, r) statistics[2 * (r) + 1]
#else
#define MEAN(statistics, r) 0.0f
#define RSTD(statistics, r) statistics[r]
#endif

// A group per row; y holds the columns from first_col on.
KERNEL GROUP_SIZE(WIDTH, 1)
    normalise(GLOBAL const T* x, GLOBAL const float* scale, GLOBAL const float* shift,
              GLOBAL float* statistics, GLOBAL T* y, int cols, int first_col, int y_cols, float eps) {
  LOCAL float part[WIDTH];
  const long r = GROUP(0), row = r * cols, y_row = r * y_cols;
  const int item = ITEM(0);
  float mean = 0.0f, sum = 0.0f;
#if CENTRED
  for (int first = 0; first < cols; first += WIDTH)
    if (first + item < cols) sum += LOAD(T, x, row + first + item);
  mean = group_sum(sum, part) / (float)cols;
  sum = 0.0f;
#endif
  for (int first = 0; first < cols; first += WIDTH)
    if (first + item < cols) {
      const float v = LOAD(T, x, row + first + item) - mean;
      sum += v * v;
    }
  const float rstd = 1.0f / sqrt(group_sum(sum, part) / (float)cols + eps);
  if (item == 0) {
    RSTD(statistics, r) = rstd;
#if CENTRED
    MEAN(statistics, r) = mean;
#endif
  }
  for (int first = 0; first < y_cols; first += WIDTH)
    if (first + item < y_cols) {
      const int c = first_col + first + item;
      const float v = (LOAD(T, x, row + c) - mean) * rstd * scale[c];
      STORE(T, y, y_row + first + item, SHIFTED ? v + shift[c] : v);
    }
}

// With g = d_y · scale: d_x = rstd (g - mean(g) - x̂ mean(g x̂)), the columns from first_col on; a group per
// row.
KERNEL GROUP_SIZE(WIDTH, 1)
    norm_backward(GLOBAL const T* x, GLOBAL const float* scale, GLOBAL const float* statistics,
                  GLOBAL const T* d_y, GLOBAL T* d_x, int cols, int first_col, int d_x_cols) {
  LOCAL float part[WIDTH];
  const long r = GROUP(0), row = r * cols, d_x_row = r * d_x_cols;
  const int item = ITEM(0);
  const float mean = MEAN(statistics, r), rstd = RSTD(statistics, r);
  float g_mean = 0.0f, dot = 0.0f;
  for (int first = 0; first < cols; first += WIDTH)
    if (first + item < cols) {
      const int c = first + item;
      const float g = LOAD(T, d_y, row + c) * scale[c];
      g_mean += g;
      dot += g * ((LOAD(T, x, row + c) - mean) * rstd);
    }
#if CENTRED
  g_mean = group_sum(g_mean, part) / (float)cols;
#else
  g_mean = 0.0f;
#endif
  dot = group_sum(dot, part) / (float)cols;
  for (int first = 0; first < d_x_cols; first += WIDTH)
    if (first + item < d_x_cols) {
      const int c = first_col + first + item;
      const float hat = (LOAD(T, x, row + c) - mean) * rstd;
      STORE(T, d_x, d_x_row + first + item, rstd * (LOAD(T, d_y, row + c) * scale[c] - g_mean - hat * dot));
    }
}

// Over every ROWS rows, one group for COLS columns: to_scale = Σ d_y x̂ and, SHIFTED, to_shift = Σ d_y. Strand
// s sums the rows s, s + STRANDS, …, and the strands meet in a tree.
KERNEL GROUP_SIZE(COLS, STRANDS)
    norm_sums(GLOBAL const T* x, GLOBAL const float* statistics, GLOBAL const T* d_y, GLOBAL float* to_scale,
              GLOBAL float* to_shift, int rows, int cols) {
  LOCAL float scale_part[STRANDS * COLS], shift_part[STRANDS * COLS];
  const int strand = ITEM(1), item = strand * COLS + ITEM(0), c = GROUP(0) * COLS + ITEM(0);
  const long chunk = GROUP(1);
  float scale_sum = 0.0f, shift_sum = 0.0f;
  for (int k = 0; k < ROWS; k += STRANDS) {
    const long r = chunk * ROWS + k + strand;
    if (r < rows && c < cols) {
      const float d = LOAD(T, d_y, r * cols + c);
      scale_sum += d * ((LOAD(T, x, r * cols + c) - MEAN(statistics, r)) * RSTD(statistics, r));
      shift_sum += d;
    }
  }
  scale_part[item] = scale_sum;
  shift_part[item] = shift_sum;
  BARRIER();
  for (int step = STRANDS / 2; step > 0; step /= 2) {
    if (strand < step) {
      scale_part[item] += scale_part[item + step * COLS];
      shift_part[item] += shift_part[item + step * COLS];
    }
    BARRIER();
  }
  if (strand == 0 && c < cols) {
    to_scale[chunk * cols + c] = scale_part[item];
    if (SHIFTED) to_shift[chunk * cols + c] = shift_part[item];
  }
}
