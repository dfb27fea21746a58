// The key/value cache on devices; S: storage of qkv and o, T: of the cache.
// SPDX-License-Identifier: Apache-2.0

// The rows of k and v, a tile that begins at row0, that the rows of qkv go to. UNIT: heads from one key to
// the next.
KERNEL kv_append(GLOBAL const S* qkv, GLOBAL const i32* slots, GLOBAL T* k, GLOBAL T* v, long n, int cols,
                 int head_dim, int unit, long row0, long rows) {
  FOR_EACH(i, n) {
    const long r = i / cols, row = slots[r] - row0;
    if (row >= 0 && row < rows) {
      const int c = (int)(i % cols), kv = c / head_dim;
      const long from = ((r * (cols / head_dim) + kv) * unit + unit - 2) * head_dim + c % head_dim;
      STORE(T, k, row * cols + c, LOAD(S, qkv, from));
      STORE(T, v, row * cols + c, LOAD(S, qkv, from + head_dim));
    }
  }
}

#define KEYS 256   // positions that a group looks at
#define WIDTH 256  // the largest head_dim
#define LOG2_E 1.44269504f

// A row's positions are cut into parts of KEYS; the sums of a part over one tile of the cache lie apart from
// others: largest and sum [rows, heads, parts], acc [rows, heads, parts, head_dim].

// Which row of the cache a position lies in, or -1.
FN long cache_row(GLOBAL const i32* table, long sequence, long position, int max_blocks, int block_size,
                  long cache_rows, GLOBAL i32* fault) {
  const long block = table[sequence * max_blocks + position / block_size];
  const long row = block * block_size + position % block_size;
  if (row >= 0 && row < cache_rows) return row;
  fault[0] = (i32)sequence + 1;
  fault[1] = (i32)block;
  return -1;
}

// Groups: part, row, head.
KERNEL GROUP_SIZE(64, 1)
    paged_part(GLOBAL const S* qkv, GLOBAL const i32* table, GLOBAL const i32* sequences,
               GLOBAL const i32* positions, GLOBAL const T* k, GLOBAL const T* v, GLOBAL float* largest,
               GLOBAL float* sums, GLOBAL float* acc, int head_dim, int group, int sequence_count,
               int max_blocks, int block_size, long row0, long rows, long cache_rows, int first_part,
               int parts, float scale, GLOBAL i32* fault_position, GLOBAL i32* fault_block) {
  LOCAL float q[WIDTH];
  LOCAL float p[KEYS];
  LOCAL int key_rows[KEYS];
  LOCAL float part[64];
  const int item = ITEM(0), head = GROUP(2), heads = GROUPS(2), kv = head / group, kv_heads = heads / group;
  const long r = GROUP(1), sequence = sequences[r], first = (long)GROUP(0) * KEYS;
  long n = positions[r] + 1l;
  if (sequence >= 0 && (sequence >= sequence_count || n > (long)max_blocks * block_size)) {
    if (item == 0) {
      fault_position[0] = (i32)sequence + 1;
      fault_position[1] = (i32)(n - 1);
    }
    n = 0;
  }
  n = sequence < 0 ? 0 : max(min(n - first, (long)KEYS), 0l);
  const int keys = n > 0 ? KEYS : 0;  // no return: all items are to meet at the barriers

  const long q_at = ((r * kv_heads + kv) * (group + 2) + head % group) * head_dim;
  for (int d = item; d < head_dim; d += 64) q[d] = LOAD(S, qkv, q_at + d);
  BARRIER();
  const long cols = (long)kv_heads * head_dim, column = (long)kv * head_dim;
  float most = -INFINITY;
  for (int j = item; j < keys; j += 64) {
    const long row =
        j < n ? cache_row(table, sequence, first + j, max_blocks, block_size, cache_rows, fault_block) - row0
              : -1;
    key_rows[j] = row >= 0 && row < rows ? (int)row : -1;
    float score = -INFINITY;
    if (key_rows[j] >= 0) {
      const long at = row * cols + column;
      float8 dots = SPLAT8(0.0f);
      int d = 0;
      for (; d + 8 <= OWN_LENGTH(head_dim); d += 8) dots += load8_local(q + d) * LOAD8(T, k, at + d);
      float rest = 0.0f;
      for (; d < head_dim; ++d) rest += q[d] * LOAD(T, k, at + d);
      score = scale * LOG2_E * (sum8(dots) + rest);
    }
    p[j] = score;
    most = score > most || score != score ? score : most;
  }
  most = group_max(most, part);
  float sum = 0.0f;
  for (int j = item; j < keys; j += 64) {
    p[j] = key_rows[j] >= 0 ? exp2(p[j] - most) : 0.0f;
    sum += p[j];
  }
  sum = group_sum(sum, part);
  const long to = (r * heads + head) * parts + first_part + GROUP(0);
  if (item == 0) {
    largest[to] = most;
    sums[to] = sum;
  }
  for (int d = item; d < head_dim; d += 64) {
    float x = 0.0f;
    for (int j = 0; j < n; ++j) {
      const float y = LOAD(T, v, max(key_rows[j], 0) * cols + column + d);
      x += key_rows[j] >= 0 ? p[j] * y : 0.0f;
    }
    acc[to * head_dim + d] = x;
  }
}

// o from all parts of a row, in their order. Groups: row, head.
KERNEL GROUP_SIZE(64, 1)
    paged_sum(GLOBAL const i32* sequences, GLOBAL const i32* positions, GLOBAL const float* largest,
              GLOBAL const float* sums, GLOBAL const float* acc, GLOBAL S* o, int head_dim,
              int sequence_count, long most_keys, int tiles, int parts) {
  const long r = GROUP(0), n = positions[r] + 1l, at = (r * GROUPS(1) + GROUP(1)) * tiles * parts;
  const bool live = sequences[r] >= 0 && sequences[r] < sequence_count && n <= most_keys;
  const int filled = live ? (int)((n + KEYS - 1) / KEYS) : 0;
  float most = -INFINITY, sum = 0.0f;
  for (int tile = 0; tile < tiles; ++tile)
    for (int i = 0; i < filled; ++i) most = fmax(most, largest[at + tile * parts + i]);
  for (int tile = 0; tile < tiles; ++tile)
    for (int i = 0; i < filled; ++i) {
      const long part = at + tile * parts + i;
      if (sums[part] != 0.0f) sum += sums[part] * exp2(largest[part] - most);
    }
  const float inverse = sum != 0.0f ? 1.0f / sum : 0.0f;  // a NaN is to be seen
  for (int d = ITEM(0); d < head_dim; d += 64) {
    float x = 0.0f;
    for (int tile = 0; tile < tiles; ++tile)
      for (int i = 0; i < filled; ++i) {
        const long part = at + tile * parts + i;
        if (sums[part] != 0.0f) x += acc[part * head_dim + d] * exp2(largest[part] - most);
      }
    STORE(S, o, (r * GROUPS(1) + GROUP(1)) * head_dim + d, x * inverse);
  }
}
