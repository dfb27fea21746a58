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

// WIDE pairs of a head.
#if ADJACENT
FN void load_pairs(GLOBAL const T* head, int pair, wide* a, wide* b) {
  take_pairs(LOADW(T, head, 2 * pair, 2 * HALF), LOADW(T, head, 2 * pair + WIDE, 2 * HALF), a, b);
}
FN void store_pairs(GLOBAL T* head, int pair, wide a, wide b) {
  wide u, v;
  make_pairs(a, b, &u, &v);
  STOREW(T, head, 2 * pair, 2 * HALF, u);
  STOREW(T, head, 2 * pair + WIDE, 2 * HALF, v);
}
#else
FN void load_pairs(GLOBAL const T* head, int pair, wide* a, wide* b) {
  *a = LOADW(T, head, pair, HALF);
  *b = LOADW(T, head, HALF + pair, 2 * HALF);
}
FN void store_pairs(GLOBAL T* head, int pair, wide a, wide b) {
  STOREW(T, head, pair, HALF, a);
  STOREW(T, head, HALF + pair, 2 * HALF, b);
}
#endif

#define MEET() \
  if (ITEM_COUNT > 1) BARRIER()
#define STEPS ((HALF + WIDE - 1) / WIDE)

// A group turns the pairs of the queries and keys of ROWS rows; values are copied.
KERNEL GROUP_SIZE(ITEM_COUNT, 1) rope(GLOBAL const T* x, GLOBAL const i32* positions, GLOBAL T* y, int rows,
                                      int heads, ulong ratio, int inverse) {
  LOCAL ulong turns[HALF];
  LOCAL float sines[STEPS * WIDE], cosines[STEPS * WIDE];
  for (int pair = ITEM(0); pair < HALF; pair += ITEM_COUNT) turns[pair] = turns_per_position(pair, ratio);
  for (int k = 0, r = GROUP(0) * ROWS; k < ROWS && r < rows; ++k, ++r) {
    for (int pair = ITEM(0); pair < HALF; pair += ITEM_COUNT) {
      const ulong angle = (ulong)positions[r] * turns[pair];
      const uint quarter = (uint)((angle + (1ul << 61)) >> 62);
      const float part = (float)(int)((angle - ((ulong)quarter << 62)) >> 32) * 0x1p-32f;
      const float s0 = sine(part), c0 = cosine(part);
      const float s1 = quarter & 1 ? c0 : s0, c1 = quarter & 1 ? s0 : c0;
      sines[pair] = (quarter >> 1 ^ (uint)inverse) & 1 ? -s1 : s1;
      cosines[pair] = (quarter + 1) >> 1 & 1 ? -c1 : c1;
    }
    MEET();
    for (int i = ITEM(0); i < heads * STEPS; i += ITEM_COUNT) {
      const int head = i / STEPS, pair = i % STEPS * WIDE, value = head % UNIT == UNIT - 1;
      const long at = ((long)r * heads + head) * (2 * HALF);
      const wide s = wide_local(sines + pair), c = wide_local(cosines + pair);
      wide a, b;
      load_pairs(x + at, pair, &a, &b);
      store_pairs(y + at, pair, value ? a : a * c - b * s, value ? b : b * c + a * s);
    }
    MEET();
  }
}
