// dropout on devices.
// SPDX-License-Identifier: Apache-2.0

// Runs of elements that lie `stride` apart in the whole tensor, of which `first` is the number of the first.
// Of each run a group takes WIDTH blocks of four draws: drawn by an item each, then used by neighbours
// together.
KERNEL GROUP_SIZE(WIDTH, 1)
    dropout(GLOBAL const T* x, GLOBAL const i32* rng, GLOBAL T* y, long length, long first, long stride,
            int run_groups, int stream, float p, float factor) {
  LOCAL uint draws[4 * WIDTH];
  const int item = ITEM(0);
  const long run = GROUP(0) / run_groups, begin = first + run * stride;
  const long block = begin / 4 + GROUP(0) % run_groups * WIDTH;
  uint words[4];
  philox_block((uint)rng[0], (uint)rng[1], (uint)stream, (ulong)(block + item), words);
  for (int k = 0; k < 4; ++k) draws[4 * item + k] = words[k];
  BARRIER();
  for (int k = 0; k < 4; ++k) {
    const int drawn = k * WIDTH + item;
    const long e = 4 * block + drawn - begin, i = run * length + e;
    if (e >= 0 && e < length) STORE(T, y, i, unit_float(draws[drawn]) >= p ? factor * LOAD(T, x, i) : 0.0f);
  }
}
