// cross_entropy on devices. What is known of a row are four floats, as row_stats.hpp says.
// SPDX-License-Identifier: Apache-2.0

FN float finite_shift(float max) { return max == -INFINITY ? 0.0f : max; }

#define LOG2_E 1.44269504f

// A group per row; SMOOTHED: the sum of the logits is wanted too.
KERNEL GROUP_SIZE(ITEM_COUNT, 1)
    row_stats(GLOBAL const T* x, GLOBAL const i32* labels, GLOBAL float* stats, int cols, int first_col) {
  const long r = GROUP(0);
  GLOBAL const T* row = x + r * cols;
  float max = -INFINITY, sum = 0.0f, total = 0.0f;
  wide totals = SPLAT(0.0f);
#if ITEM_COUNT > 1
  LOCAL float part[ITEM_COUNT];
  // In one pass: what an item has summed shrinks when it meets a larger logit.
  float top = -INFINITY;
  for (int c = WIDE * ITEM(0); c < cols; c += WIDE * ITEM_COUNT) {
    const wide v = LOADW_OR(T, row, c, cols, -INFINITY);
    const float largest = fmax(top, max_wide(v)), shift = finite_shift(largest);
    sum = sum * exp2_fast(LOG2_E * (top - shift)) + sum_wide(exp2_wide(LOG2_E * (v - shift)));
    top = largest;
    if (SMOOTHED) totals += LOADW(T, row, c, cols);
  }
  max = group_max(top, part);
  sum = group_sum(sum * exp2_fast(LOG2_E * (top - finite_shift(max))), part);
  if (SMOOTHED) total = group_sum(sum_wide(totals), part);
#else
  wide maxima = SPLAT(-INFINITY), sums = SPLAT(0.0f);
  for (int c = 0; c < cols; c += WIDE) {
    maxima = fmax(maxima, LOADW_OR(T, row, c, cols, -INFINITY));
    if (SMOOTHED) totals += LOADW(T, row, c, cols);
  }
  max = max_wide(maxima);
  for (int c = 0; c < cols; c += WIDE)
    sums += EXPW(f32, clamped(LOADW_OR(T, row, c, cols, -INFINITY) - finite_shift(max), -87.0f, 88.0f));
  sum = sum_wide(sums);
  total = sum_wide(totals);
#endif
  if (ITEM(0) == 0) {
    const long label = (long)labels[r] - first_col;
    stats[4 * r] = max;
    stats[4 * r + 1] = sum;
    stats[4 * r + 2] = label >= 0 && label < cols ? LOAD(T, row, label) : 0.0f;
    stats[4 * r + 3] = total;
  }
}

// stats = merge(stats, part)
KERNEL merge_stats(GLOBAL float* stats, GLOBAL const float* part, long rows) {
  FOR_EACH(r, rows) {
    const float a = stats[4 * r], b = part[4 * r], max = fmax(a, b), shift = finite_shift(max);
    stats[4 * r] = max;
    stats[4 * r + 1] = stats[4 * r + 1] * exp(a - shift) + part[4 * r + 1] * exp(b - shift);
    stats[4 * r + 2] += part[4 * r + 2];
    stats[4 * r + 3] += part[4 * r + 3];
  }
}

// lse of every row, and the sum of the losses, by one group.
KERNEL GROUP_SIZE(WIDTH, 1)
    row_losses(GLOBAL const i32* labels, GLOBAL const float* stats, GLOBAL float* lse, GLOBAL float* loss,
               int rows, int ignored, float smoothing, float vocab) {
  LOCAL float part[WIDTH];
  float sum = 0.0f;
  for (int first = 0; first < rows; first += WIDTH)
    if (first + ITEM(0) < rows) {
      const long r = first + ITEM(0);
      const float top = stats[4 * r] + log(stats[4 * r + 1]);
      float of_row = (1.0f - smoothing) * (top - stats[4 * r + 2]);
      if (smoothing > 0.0f) of_row += smoothing * (top - stats[4 * r + 3] / vocab);
      lse[r] = top;
      sum += labels[r] == ignored ? 0.0f : of_row;
    }
  sum = group_sum(sum, part);
  if (ITEM(0) == 0) *loss = sum;
}

// count (+)= the labels that are not ignored, by one group. Where some are out of range, the first is
// reported.
KERNEL GROUP_SIZE(WIDTH, 1) count_labels(GLOBAL const i32* labels, GLOBAL float* count, GLOBAL i32* fault,
                                         int rows, int first_row, int vocab, int ignored, int overwrite) {
  LOCAL float part[WIDTH];
  float counted = 0.0f, wrong = 0.0f;
  for (int first = 0; first < rows; first += WIDTH)
    if (first + ITEM(0) < rows) {
      const i32 label = labels[first + ITEM(0)];
      counted += label != ignored ? 1.0f : 0.0f;
      wrong += label != ignored && (label < 0 || label >= vocab) ? 1.0f : 0.0f;
    }
  counted = group_sum(counted, part);
  wrong = group_sum(wrong, part);
  if (ITEM(0) != 0) return;
  *count = overwrite ? counted : *count + counted;
  for (int r = 0; r < rows && wrong > 0.0f && fault[0] == 0; ++r)
    if (labels[r] != ignored && (labels[r] < 0 || labels[r] >= vocab)) {
      fault[0] = first_row + r + 1;
      fault[1] = labels[r];
    }
}

KERNEL mean_loss(GLOBAL const float* total, GLOBAL const float* count, GLOBAL float* loss) {
  *loss = *count > 0.0f ? *total / *count : 0.0f;
}

// d_x = softmax · (scale + d_lse) - target · scale, scale = d_loss / count or 0; FROM_LOSS, FROM_LSE: which
// gradients there are.
KERNEL cross_entropy_backward(GLOBAL const T* x, GLOBAL const i32* labels, GLOBAL const float* lse,
                              GLOBAL const float* count, GLOBAL const float* d_loss,
                              GLOBAL const float* d_lse, GLOBAL T* d_x, long cols, int first_col, int ignored,
                              float smoothing, float vocab) {
  EACH_WIDE_IN_ROWS(r, c, cols) {
    const i32 label = labels[r];
    const float scale = FROM_LOSS && label != ignored && *count > 0.0f ? *d_loss / *count : 0.0f;
    const float of_softmax = scale + (FROM_LSE ? d_lse[r] : 0.0f);
    const wide target = smoothing / vocab + (1.0f - smoothing) * one_at((long)label - first_col - c);
    const wide softmax = EXPW(T, clamped(LOADW(T, x + r * cols, c, cols) - lse[r], -87.0f, 88.0f));
    const wide d = softmax * of_softmax - target * scale;
    const int padding = scale == 0.0f && of_softmax == 0.0f;  // what it holds may be anything
    STOREW(T, d_x + r * cols, c, cols, padding ? SPLAT(0.0f) : d);
  }
}
