// sample on devices, a group per row. Tokens are ordered by keys: the likelier, then the earlier, has the
// larger one. No two are alike, so what is kept are the tokens with keys from some key on, found four bits at
// a time.
// SPDX-License-Identifier: Apache-2.0

FN ulong key_of(float logit, int token, int vocab, int token_bits) {
  const uint bits = FLOAT_TO_BITS(logit == 0.0f ? 0.0f : logit);  // -0 equals 0
  const uint ordered = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return (ulong)ordered << token_bits | (ulong)(uint)(vocab - 1 - token);
}

// Of every token exp((logit - largest) / temperature), or, where that is 0, whether it is a likeliest one.
KERNEL GROUP_SIZE(WIDTH, 1)
    token_weights(GLOBAL const T* logits, GLOBAL const float* params, GLOBAL double* weights,
                  GLOBAL ulong* least, GLOBAL i32* fault, int vocab) {
  LOCAL float part[WIDTH];
  const long r = GROUP(0), row = r * vocab;
  const int item = ITEM(0);
  const float temperature = params[0];
  float largest = -INFINITY;
  for (int first = 0; first < vocab; first += WIDTH)
    if (first + item < vocab) largest = fmax(largest, LOAD(T, logits, row + first + item));
  largest = group_max(largest, part);
  for (int first = 0; first < vocab; first += WIDTH)
    if (first + item < vocab) {
      const double below = (double)LOAD(T, logits, row + first + item) - (double)largest;
      weights[row + first + item] =
          temperature > 0.0f ? exp(below / (double)temperature) : (below == 0.0 ? 1.0 : 0.0);
    }
  if (item == 0) least[r] = 0;
  if (item == 0 && r == 0 && !(temperature >= 0.0f)) fault[0] = 1;
}

// least = the largest key, of those from least on, from which tokens number top_k, or, WEIGHTED, from which
// their weights reach top_p of all weights from least on. Nothing changes where params ask for no such limit.
KERNEL GROUP_SIZE(WIDTH, 1)
    keep_likeliest(GLOBAL const T* logits, GLOBAL const float* params, GLOBAL const double* weights,
                   GLOBAL ulong* least, int vocab, int token_bits) {
  LOCAL double sums[16 * WIDTH];  // [digit, item]
  LOCAL double of_digit[16];
  LOCAL double goal_and_above[2];
  LOCAL ulong chosen[1];
  const long r = GROUP(0), row = r * vocab;
  const int item = ITEM(0);
  const float temperature = params[0], top_k = params[1], top_p = params[2];
  const ulong from = least[r];
#if WEIGHTED
  const int limited = temperature > 0.0f && top_p < 1.0f;
#else
  const int limited = !(temperature > 0.0f) || (top_k >= 1.0f && top_k < (float)vocab);
#endif
  double kept = 0.0;
  for (int first = 0; first < vocab; first += WIDTH)
    if (WEIGHTED && first + item < vocab) {
      const int token = first + item;
      const ulong key = key_of(LOAD(T, logits, row + token), token, vocab, token_bits);
      kept += key >= from ? weights[row + token] : 0.0;
    }
  sums[item] = kept;
  BARRIER();
  if (item == 0) {
    double all = 0.0;
    for (int i = 0; i < WIDTH; ++i) all += sums[i];
    goal_and_above[0] = WEIGHTED ? (double)top_p * all : temperature > 0.0f ? floor((double)top_k) : 1.0;
    goal_and_above[1] = 0.0;
    chosen[0] = 0;
  }
  BARRIER();
  for (int digit = limited ? (31 + token_bits) / 4 : -1; digit >= 0; --digit) {
    for (int d = 0; d < 16; ++d) sums[d * WIDTH + item] = 0.0;
    const ulong prefix = chosen[0];
    for (int first = 0; first < vocab; first += WIDTH)
      if (first + item < vocab) {
        const int token = first + item;
        const ulong key = key_of(LOAD(T, logits, row + token), token, vocab, token_bits);
        const int at = (int)(key >> (4 * digit) & 15) * WIDTH + item;
        // In two shifts, since one by all 64 bits is not defined.
        const int under = (key >> (4 * digit) >> 4) == (prefix >> (4 * digit) >> 4);
        sums[at] += key >= from && under ? (WEIGHTED ? weights[row + token] : 1.0) : 0.0;
      }
    BARRIER();
    if (item < 16) {
      double sum = 0.0;
      for (int i = 0; i < WIDTH; ++i) sum += sums[item * WIDTH + i];
      of_digit[item] = sum;
    }
    BARRIER();
    if (item == 0) {
      double above = goal_and_above[1];
      int d = 15;
      for (; d > 0 && above + of_digit[d] < goal_and_above[0]; --d) above += of_digit[d];
      goal_and_above[1] = above;
      chosen[0] = prefix | (ulong)d << (4 * digit);
    }
    BARRIER();
  }
  if (item == 0) least[r] = max(chosen[0], from);
}

// Draws in the order of the vocabulary: a stretch of it by the stretches' sums, then a token of the stretch.
KERNEL GROUP_SIZE(WIDTH, 1)
    draw_token(GLOBAL const T* logits, GLOBAL const uint* rng, GLOBAL const double* weights,
               GLOBAL const ulong* least, GLOBAL i32* tokens, uint stream, int first_row, int vocab,
               int token_bits) {
  LOCAL double part[WIDTH];
  const long r = GROUP(0), row = r * vocab;
  const ulong from = least[r];
  const int stretch = (vocab + WIDTH - 1) / WIDTH, begin = ITEM(0) * stretch;
  double kept = 0.0;
  for (int i = begin; i < begin + stretch; ++i)
    if (i < vocab && key_of(LOAD(T, logits, row + i), i, vocab, token_bits) >= from) kept += weights[row + i];
  part[ITEM(0)] = kept;
  BARRIER();
  if (ITEM(0) == 0) {
    double mass = 0.0;
    for (int s = 0; s < WIDTH; ++s) mass += part[s];
    uint words[4];
    const ulong element = (ulong)(first_row + r);
    philox_block(rng[0], rng[1], stream, element / 4, words);
    const int k = (int)(element % 4);
    const uint word = k == 0 ? words[0] : k == 1 ? words[1] : k == 2 ? words[2] : words[3];
    double rest = (double)unit_float(word) * mass, left = rest;
    int at = 0;
    for (int s = 0, found = 0; s < WIDTH && !found; ++s)
      if (part[s] > 0.0) {
        at = s;
        left = rest;
        found = left < part[s];
        rest -= part[s];
      }
    int token = at * stretch;
    for (int i = at * stretch; i < vocab && i < (at + 1) * stretch && left >= 0.0; ++i)
      if (weights[row + i] > 0.0 && key_of(LOAD(T, logits, row + i), i, vocab, token_bits) >= from) {
        token = i;
        left -= weights[row + i];
      }
    tokens[r] = token;
  }
}
