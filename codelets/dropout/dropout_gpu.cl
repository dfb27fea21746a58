// dropout on devices.
// SPDX-License-Identifier: Apache-2.0

// Runs of elements that lie `stride` apart in the whole tensor, of which `first` is the number of the first. An
// item takes the four elements of one block of draws, as far as they lie in the run.
KERNEL dropout(GLOBAL const T* x, GLOBAL const i32* rng, GLOBAL T* y, long runs, long length, long first,
               long stride, int stream, float p, float factor) {
  FOR_ROWS(r, runs) {
    const long begin = first + r * stride, block0 = begin / 4, blocks = (begin + length + 3) / 4 - block0;
    FOR_EACH(b, blocks) {
      uint words[4];
      philox_block((uint)rng[0], (uint)rng[1], (uint)stream, (ulong)(block0 + b), words);
      for (int k = 0; k < 4; ++k) {
        const long e = 4 * (block0 + b) + k - begin, i = r * length + e;
        if (e >= 0 && e < length)
          STORE(T, y, i, unit_float(words[k]) >= p ? factor * LOAD(T, x, i) : 0.0f);
      }
    }
  }
}
