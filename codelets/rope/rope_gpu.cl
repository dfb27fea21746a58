// rope on devices: HALF pairs in a head, UNIT heads from one key to the next; ADJACENT: elements 2 i and 2 i
// + 1 are turned together, else i and i + HALF.
// SPDX-License-Identifier: Apache-2.0

// Angles are fractions of a turn in 64 bits, which wrap by themselves: large positions keep their accuracy.
// ratio^pair / 2π
FN ulong turns_per_position(int pair, ulong ratio) {
  ulong turns = 2935890503282001226ul;
  for (int bits = HALF - 1; bits > 0; bits >>= 1) {
    if (pair & 1) turns = MUL_HIGH_LONG(turns, ratio);
    ratio = MUL_HIGH_LONG(ratio, ratio);
    pair >>= 1;
  }
  return turns;
}

// The sine and cosine of what lies within an eighth of a turn of whole quarters, by minimax polynomials to 1
// ulp.
FN float sine(float x) {
  const float z = x * x;
  return x * (((-75.3935623f * z + 81.5923539f) * z - 41.3416634f) * z + 6.28318548f);
}
FN float cosine(float x) {
  const float z = x * x;
  return (((59.2459564f * z - 85.4437408f) * z + 64.9393234f) * z - 19.7392082f) * z + 1.0f;
}

// An item turns one pair of every query and key of a row; values are copied.
KERNEL rope(GLOBAL const T* x, GLOBAL const i32* positions, GLOBAL T* y, long rows, int heads, ulong ratio,
            int inverse) {
  FOR_EACH(i, rows * HALF) {
    const long r = i / HALF;
    const int pair = (int)(i % HALF);
    const ulong angle = (ulong)positions[r] * turns_per_position(pair, ratio);
    const uint quarter = (uint)((angle + (1ul << 61)) >> 62);
    const float part = (float)(int)((angle - ((ulong)quarter << 62)) >> 32) * 0x1p-32f;
    const float s0 = sine(part), c0 = cosine(part);
    const float s1 = quarter & 1 ? c0 : s0, c1 = quarter & 1 ? s0 : c0;
    const float s = (quarter >> 1 ^ (uint)inverse) & 1 ? -s1 : s1, c = (quarter + 1) >> 1 & 1 ? -c1 : c1;
    for (int head = 0; head < heads; ++head) {
      const long at = (r * heads + head) * (2 * HALF) + (ADJACENT ? 2 * pair : pair);
      const long other = at + (ADJACENT ? 1 : HALF);
      const float a = LOAD(T, x, at), b = LOAD(T, x, other);
      const int value = head % UNIT == UNIT - 1;
      STORE(T, y, at, value ? a : a * c - b * s);
      STORE(T, y, other, value ? b : b * c + a * s);
    }
  }
}
