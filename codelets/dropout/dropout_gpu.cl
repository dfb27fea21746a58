// dropout on devices.
// SPDX-License-Identifier: Apache-2.0

// Runs of elements that lie `stride` apart in the whole tensor, of which `first` is the number of the first.
// Of each run a group takes BLOCKS blocks of eight draws: a CHUNK of them is drawn first and then used by
// neighbours together. Elements whose draw is `least` or more are kept.
KERNEL GROUP_SIZE(ITEM_COUNT, 1)
    dropout(GLOBAL const T* x, GLOBAL const i32* rng, GLOBAL T* y, long length, long first, long stride,
            int run_groups, int stream, uint least, float factor) {
  LOCAL uint words[4 * CHUNK + WIDE / 2];  // the last are read with others, and not used
  LOCAL ulong keys[ROUND_KEYS];
  const long run = GROUP(0) / run_groups, begin = first + run * stride;
  const long first_block = begin / 8 + GROUP(0) % run_groups * BLOCKS;
  GLOBAL const T* x_run = x + run * length;
  GLOBAL T* y_run = y + run * length;
  if (ITEM(0) == 0) philox_keys((uint)rng[0], (uint)rng[1], keys);
  if (ITEM_COUNT > 1) BARRIER();
  for (long block = first_block; block < first_block + BLOCKS && 8 * block < begin + length; block += CHUNK) {
    for (int b = AT_ONCE * ITEM(0); b < CHUNK; b += AT_ONCE * ITEM_COUNT)
      philox_blocks(keys, (uint)stream, (ulong)(block + b), words + 4 * b);
    if (ITEM_COUNT > 1) BARRIER();
    const long at = 8 * block - begin, from = at > 0 ? at : 0;  // in the run
    const long n = at + 8 * CHUNK < length ? at + 8 * CHUNK : length;
    for (long e = from + WIDE * ITEM(0); e < n; e += WIDE * ITEM_COUNT) {
      const wide_bits drawn = wide_halves(words, e - at);
      STOREW(T, y_run, e, n, pick(drawn >= least, factor * LOADW(T, x_run, e, n), SPLAT(0.0f)));
    }
    if (ITEM_COUNT > 1) BARRIER();
  }
}
