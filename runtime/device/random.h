// Random numbers: the fourth part of every device source's head.
// SPDX-License-Identifier: Apache-2.0

// Philox4x32-10 (Salmon et al., 2011): the words of a block, as codelets/uniform.hpp numbers them.
FN void philox_block(uint seed, uint step, uint stream, ulong block, uint* words) {
  uint x0 = (uint)block, x1 = (uint)(block >> 32), x2 = stream, x3 = 0, k0 = seed, k1 = step;
  for (int round = 0; round < 10; ++round) {
    const uint a_high = MUL_HIGH(x0, 0xD2511F53u), a_low = x0 * 0xD2511F53u;
    const uint b_high = MUL_HIGH(x2, 0xCD9E8D57u), b_low = x2 * 0xCD9E8D57u;
    x0 = b_high ^ x1 ^ k0;
    x1 = b_low;
    x2 = a_high ^ x3 ^ k1;
    x3 = a_low;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = x0;
  words[1] = x1;
  words[2] = x2;
  words[3] = x3;
}
FN float unit_float(uint word) { return (float)(word >> 8) * 0x1p-24f; }  // in [0, 1)

// The words of AT_ONCE blocks, with the keys of all rounds.
#define ROUND_KEYS 20
FN void philox_keys(uint seed, uint step, LOCAL_ARG ulong* keys) {
  for (int k = 0; k < ROUND_KEYS; k += 2) {
    keys[k] = seed + k / 2 * 0x9E3779B9u;
    keys[k + 1] = step + k / 2 * 0xBB67AE85u;
  }
}
#ifdef ON_CPU
#define AT_ONCE 8
FN void philox_blocks(LOCAL_ARG const ulong* keys, uint stream, ulong block, LOCAL_ARG uint* words) {
  const ulong8 low = (ulong8)(0xffffffff), blocks = block + (ulong8)(0, 1, 2, 3, 4, 5, 6, 7);
  ulong8 x0 = blocks, x1 = blocks >> 32, x2 = (ulong8)(stream), x3 = (ulong8)(0);  // in the lower halves
  UNROLL for (int k = 0; k < ROUND_KEYS; k += 2) {
    const ulong8 a = (x0 & low) * 0xD2511F53ul, b = (x2 & low) * 0xCD9E8D57ul;
    x0 = b >> 32 ^ x1 ^ keys[k];
    x1 = b;
    x2 = a >> 32 ^ x3 ^ keys[k + 1];
    x3 = a;
  }
  const ulong8 u = (x0 & low) | x1 << 32, v = (x2 & low) | x3 << 32;
  vstore16(as_uint16((ulong8)(u.s0, v.s0, u.s1, v.s1, u.s2, v.s2, u.s3, v.s3)), 0, words);
  vstore16(as_uint16((ulong8)(u.s4, v.s4, u.s5, v.s5, u.s6, v.s6, u.s7, v.s7)), 1, words);
}
#else
#define AT_ONCE 1
FN void philox_blocks(LOCAL_ARG const ulong* keys, uint stream, ulong block, LOCAL_ARG uint* words) {
  uint x[4];
  philox_block((uint)keys[0], (uint)keys[1], stream, block, x);
  UNROLL for (int k = 0; k < 4; ++k) words[k] = x[k];
}
#endif
