// sample on devices, a group per row. Tokens are ordered by keys: the likelier, then the earlier, has the
// larger one. No two are alike, so what is kept are the tokens with keys from some key on, found bit by bit.
// SPDX-License-Identifier: Apache-2.0

FN ulong key_of(float logit, int token, int vocab, int token_bits) {
  const uint bits = FLOAT_TO_BITS(logit == 0.0f ? 0.0f : logit);  // -0 equals 0
  const uint ordered = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  return (ulong)ordered << token_bits | (ulong)(uint)(vocab - 1 - token);
}

// As group_sum, which see.
FN double group_sum_double(double x, LOCAL_ARG double* part) {
  const int item = ITEM(0);
  part[item] = x;
  BARRIER();
  for (int step = WIDTH / 2; step > 0; step /= 2) {
    if (item < step) part[item] += part[item + step];
    BARRIER();
  }
  const double sum = part[0];
  BARRIER();
  return sum;
}

// How many tokens have keys from `least` on, or, of weights, what these add up to.
FN double sum_from(ulong least, GLOBAL const T* x, GLOBAL const double* weights, int weighted, int vocab,
                   int token_bits, LOCAL_ARG double* part) {
  double sum = 0.0;
  for (int first = 0; first < vocab; first += WIDTH)
    if (first + ITEM(0) < vocab) {
      const int token = first + ITEM(0);
      const int in = key_of(LOAD(T, x, token), token, vocab, token_bits) >= least;
      sum += in ? (weighted ? weights[token] : 1.0) : 0.0;
    }
  return group_sum_double(sum, part);
}

// The largest key from `least` on from which the sum reaches `goal`.
FN ulong key_reaching(double goal, ulong least, GLOBAL const T* x, GLOBAL const double* weights, int weighted,
                      int vocab, int token_bits, LOCAL_ARG double* part) {
  ulong key = 0;
  for (int bit = 31 + token_bits; bit >= 0; --bit) {
    const ulong trial = key | (ulong)1 << bit, from = trial > least ? trial : least;
    const double sum = sum_from(from, x, weights, weighted, vocab, token_bits, part);
    if (!(sum < goal)) key = trial;
  }
  return key > least ? key : least;
}

KERNEL GROUP_SIZE(WIDTH, 1) sample(GLOBAL const T* logits, GLOBAL const uint* rng, GLOBAL const float* params,
                                   GLOBAL double* all_weights, GLOBAL i32* tokens, GLOBAL i32* fault,
                                   uint stream, int first_row, int vocab, int token_bits) {
  LOCAL double part[WIDTH];
  LOCAL float float_part[WIDTH];
  const int item = ITEM(0);
  const long r = GROUP(0);
  GLOBAL const T* x = logits + r * vocab;
  GLOBAL double* weights = all_weights + r * vocab;
  const float temperature = params[0], top_k = params[1], top_p = params[2];
  const int limited = top_k >= 1.0f && top_k < (float)vocab, greedy = !(temperature > 0.0f);

  float largest = -INFINITY;
  for (int first = 0; first < vocab; first += WIDTH)
    if (first + item < vocab) largest = fmax(largest, LOAD(T, x, first + item));
  largest = group_max(largest, float_part);
  for (int first = 0; first < vocab; first += WIDTH)
    if (first + item < vocab) {
      const double below = (double)LOAD(T, x, first + item) - (double)largest;
      weights[first + item] = greedy ? (below == 0.0 ? 1.0 : 0.0) : exp(below / (double)temperature);
    }
  GLOBAL_BARRIER();

  ulong least = 0;  // everything is kept
  const double k = greedy ? 1.0 : floor((double)top_k);
  if (greedy || limited) least = key_reaching(k, 0, x, weights, 0, vocab, token_bits, part);
  const double all = sum_from(least, x, weights, 1, vocab, token_bits, part);
  if (!greedy && top_p < 1.0f)
    least = key_reaching((double)top_p * all, least, x, weights, 1, vocab, token_bits, part);
  const double mass = sum_from(least, x, weights, 1, vocab, token_bits, part);

  // Drawn in the order of the vocabulary: a stretch of it by the stretches' sums, then a token of the
  // stretch.
  const int stretch = (vocab + WIDTH - 1) / WIDTH, begin = item * stretch;
  double kept = 0.0;
  for (int i = 0; i < stretch; ++i)
    if (begin + i < vocab && key_of(LOAD(T, x, begin + i), begin + i, vocab, token_bits) >= least)
      kept += weights[begin + i];
  part[item] = kept;
  BARRIER();
  if (item != 0) return;
  if (r == 0 && !(temperature >= 0.0f)) fault[0] = 1;
  uint words[4];
  const ulong element = (ulong)(first_row + r);
  philox_block(rng[0], rng[1], stream, element / 4, words);
  double rest = (double)unit_float(words[element % 4]) * mass, left = rest;
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
    if (weights[i] > 0.0 && key_of(LOAD(T, x, i), i, vocab, token_bits) >= least) {
      token = i;
      left -= weights[i];
    }
  tokens[r] = token;
}
