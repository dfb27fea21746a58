// attention on CUDA GPUs with matrix units, for T of 16 bits and heads of up to 128 in multiples of 8: the
// tiles of FlashAttention-2 (Dao, 2023); its backward pass in two kernels, which need no sum over groups.
// SPDX-License-Identifier: Apache-2.0
//
// PASS: 0 forward, 3, 1 and 2 backward; DROPPED: 2 is with dropout. WIDTH: head_dim filled up with zeros to
// 64 or 128. A group of four warps has a block of ROWS rows and goes through the rows that these see, TILE at
// a time. Rows are counted from the first row of the window; qkv is the whole window, d_o its rows from
// query_begin on.
#define ITEM_COUNT 128
#define TILE 64
#define PART (CROWDED ? 16 : 32)  // columns of a tile for which scores are held at a time, backward
#define STEP (WIDTH + 8)          // of a row in local memory: eight of them lie in different banks
#define DEPTH (WIDTH / 16)
#define STAGES (WIDTH == 64 ? 2 : 1)
#define ROOM (TILE * STEP)
// Of 16 rows, for a warp. Where registers do not suffice for two, a group takes one after the other.
#if PASS == 2 && __CUDA_ARCH__ < 900
#define BLOCKS 1
#else
#define BLOCKS (WIDTH == 64 && !(PASS == 2 && DROPPED) ? 2 : 1)
#endif
#define TURNS (PASS == 2 && WIDTH == 64 && !DROPPED && BLOCKS == 1 ? 2 : 1)
#define ROWS (64 * BLOCKS)
#define LOG2_E 1.44269504f
// Where sums and fragments take most registers, loops are not unrolled but those over them.
#define CROWDED (BLOCKS > 1 || PASS == 2 && WIDTH > 64)
#if CROWDED && PASS > 0
#define AS_REGISTERS_ALLOW _Pragma("unroll 1")
#else
#define AS_REGISTERS_ALLOW UNROLL
#endif

// The item's rows of a block, and columns of each eight.
#define ROW(m, piece) (WARP * 16 * BLOCKS + 16 * (m) + LANE / 4 + 8 * (piece))
#define COLUMN (LANE % 4 * 2)

// TILE rows of a head from `row` on, of which those in [begin, end) are there.
FN void copy_tile(LOCAL_ARG ushort* to, GLOBAL const T* head, int step, int row, int begin, int end,
                  int head_dim) {
  AS_REGISTERS_ALLOW for (int i = 0; i < TILE * WIDTH / 8; i += ITEM_COUNT) {
    const int r = (i + ITEM(0)) / (WIDTH / 8), c = (i + ITEM(0)) % (WIDTH / 8) * 8;
    const bool there = row + r >= begin && row + r < end && c < head_dim;
    copy8(to + r * STEP + c, there ? head + (long)(row + r - begin) * step + c : head, there);
  }
}

// Blocks of rows in local memory as fragments.
FN void take_fragments(uint4* to, LOCAL_ARG const ushort* rows) {
  UNROLL for (int m = 0; m < BLOCKS; ++m) UNROLL for (int k = 0; k < DEPTH; ++k) to[m * DEPTH + k] =
      fragment(rows + ROW(m, 0) / 16 * 16 * STEP + 16 * k, STEP);
}

// The block's sums, each times its row's factor, to rows of `to` by way of local memory.
FN void store_block(GLOBAL T* to, int step, const float4* sums, const float* factors, LOCAL_ARG ushort* room,
                    int n_rows, int head_dim) {
  BARRIER();
  UNROLL for (int m = 0; m < BLOCKS; ++m) UNROLL for (int c = 0; c < WIDTH / 8; ++c) {
    const float4 x = sums[m * (WIDTH / 8) + c];
    LOCAL_ARG ushort* at = room + ROW(m, 0) * STEP + 8 * c + COLUMN;
    store2_local(at, PACK2(T, factors[2 * m] * x.x, factors[2 * m] * x.y));
    store2_local(at + 8 * STEP, PACK2(T, factors[2 * m + 1] * x.z, factors[2 * m + 1] * x.w));
  }
  BARRIER();
  for (int i = ITEM(0); i < ROWS * WIDTH / 8; i += ITEM_COUNT) {
    const int r = i / (WIDTH / 8), c = i % (WIDTH / 8) * 8;
    if (r < n_rows && c < head_dim) store8_bits(to + (long)r * step + c, room + r * STEP + c);
  }
}

// The 64 bits of dropout for a row's keys from `key` on; what they say of the column.
FN uint2 bits_of_keys(GLOBAL const uint* keep, int key, int words) {
  uint x[2];
  UNROLL for (int k = 0; k < 2; ++k) {
    const int n = key + 32 * k, word = n >> 5, shift = n & 31;
    const uint low = word >= 0 && word < words ? keep[word] : 0;
    const uint high = word >= -1 && word + 1 < words ? keep[word + 1] : 0;
    x[k] = shift == 0 ? low : low >> shift | high << (32 - shift);
  }
  uint2 both;
  both.x = x[0];
  both.y = x[1];
  return both;
}
FN float kept(uint2 bits, int column, float factor) {
  return (column < 32 ? bits.x : bits.y) >> (column & 31) & 1 ? factor : 0.0f;
}

FN int group_min_of(int x, LOCAL_ARG float* part) { return (int)-group_max(-(float)x, part); }
FN int group_max_of(int x, LOCAL_ARG float* part) { return (int)group_max((float)x, part); }

// The first key of a row, and their end.
FN int2 keys_of(GLOBAL const i32* first, GLOBAL const i32* last, int row) {
  return make_int2(first[row], last[row]);
}

#define FAR (1 << 24)  // beyond all rows

#if PASS == 0

KERNEL GROUP_SIZE(ITEM_COUNT, 1)
    attention(GLOBAL const T* qkv, int window_rows, GLOBAL const i32* first, GLOBAL const i32* last,
              GLOBAL const uint* keep, GLOBAL T* o, GLOBAL float* lse, int row_begin, int n_rows,
              int head_dim, int group, float scale, float factor, int words) {
  LOCAL ushort tiles[2 * STAGES * ROOM];  // keys and values
  LOCAL float part[ITEM_COUNT];
  const int head = GROUP(1), heads = GROUPS(1), slot = head / group * (group + 2) + head % group;
  const int step = heads / group * (group + 2) * head_dim;
  GLOBAL const T* q_head = qkv + (long)slot * head_dim;
  GLOBAL const T* k_head = q_head + (long)(group - head % group) * head_dim;
  // Those with most keys first.
  const int block = row_begin + (GROUPS(0) - 1 - GROUP(0)) * ROWS,
            end = min(block + ROWS, row_begin + n_rows);

  // Keys that some rows see, and those that all see.
  const int mine = min(block + ITEM(0), end - 1), mine_first = first[mine], mine_last = last[mine];
  const bool sees = mine_first < mine_last;
  const int begin = group_min_of(sees ? mine_first : FAR, part), stop = group_max_of(mine_last, part);
  const int all_begin = group_max_of(mine_first, part), all_end = group_min_of(mine_last, part);

  UNROLL for (int m = 0; m < BLOCKS; ++m)
      copy_tile(tiles + m * ROOM, q_head, step, block + m * TILE, 0, end, head_dim);
  all_copied();
  BARRIER();
  uint4 q[BLOCKS * DEPTH];
  take_fragments(q, tiles);
  BARRIER();

  float largest[2 * BLOCKS], sum[2 * BLOCKS];
  UNROLL for (int i = 0; i < 2 * BLOCKS; ++i) {
    largest[i] = -INFINITY;
    sum[i] = 0.0f;
  }
  float4 sums[BLOCKS * WIDTH / 8];
  UNROLL for (int i = 0; i < BLOCKS * WIDTH / 8; ++i) sums[i] = F4(0.0f, 0.0f, 0.0f, 0.0f);
  const float to_log2 = scale * LOG2_E;
  int stage = 0;
  if (STAGES > 1 && begin < stop) {
    copy_tile(tiles, k_head, step, begin, 0, window_rows, head_dim);
    copy_tile(tiles + ROOM, k_head + head_dim, step, begin, 0, window_rows, head_dim);
  }
  for (int key = begin; key < stop; key += TILE) {
    LOCAL_ARG ushort *k_tile = tiles + stage * 2 * ROOM, *v_tile = k_tile + ROOM;
    if (STAGES == 1) {
      BARRIER();
      copy_tile(k_tile, k_head, step, key, 0, window_rows, head_dim);
      copy_tile(v_tile, k_head + head_dim, step, key, 0, window_rows, head_dim);
    }
    all_copied();
    BARRIER();
    if (STAGES > 1 && key + TILE < stop) {
      stage = 1 - stage;
      copy_tile(tiles + stage * 2 * ROOM, k_head, step, key + TILE, 0, window_rows, head_dim);
      copy_tile(tiles + stage * 2 * ROOM + ROOM, k_head + head_dim, step, key + TILE, 0, window_rows,
                head_dim);
    }
    float4 s[BLOCKS * TILE / 8];
    UNROLL for (int i = 0; i < BLOCKS * TILE / 8; ++i) s[i] = F4(0.0f, 0.0f, 0.0f, 0.0f);
    MULTIPLY_BY_ROWS(s, q, BLOCKS, DEPTH, k_tile, STEP, TILE);
    if (key < all_begin || key + TILE > all_end) UNROLL for (int m = 0; m < BLOCKS; ++m) {
        const int2 u = keys_of(first, last, min(block + ROW(m, 0), end - 1));
        const int2 v = keys_of(first, last, min(block + ROW(m, 1), end - 1));
        UNROLL for (int c = 0; c < TILE / 8; ++c) {
          const int i = m * (TILE / 8) + c, at = key + 8 * c + COLUMN;
          if (at < u.x || at >= u.y) s[i].x = -INFINITY;
          if (at + 1 < u.x || at + 1 >= u.y) s[i].y = -INFINITY;
          if (at < v.x || at >= v.y) s[i].z = -INFINITY;
          if (at + 1 < v.x || at + 1 >= v.y) s[i].w = -INFINITY;
        }
      }
    float most[2 * BLOCKS], shift[2 * BLOCKS];
    UNROLL for (int m = 0; m < BLOCKS; ++m) {
      most[2 * m] = most[2 * m + 1] = -INFINITY;
      UNROLL for (int c = 0; c < TILE / 8; ++c) {
        const float4 x = s[m * (TILE / 8) + c];
        most[2 * m] = fmax(most[2 * m], fmax(x.x, x.y));
        most[2 * m + 1] = fmax(most[2 * m + 1], fmax(x.z, x.w));
      }
    }
    quad_max(most, 2 * BLOCKS);
    UNROLL for (int i = 0; i < 2 * BLOCKS; ++i) {
      most[i] = fmax(most[i], largest[i]);
      shift[i] = most[i] == -INFINITY ? 0.0f : to_log2 * most[i];
      const float shrink = most[i] > largest[i] ? exp2_fast(to_log2 * (largest[i] - most[i])) : 1.0f;
      largest[i] = most[i];
      sum[i] *= shrink;
      most[i] = shrink;
    }
    UNROLL for (int i = 0; i < BLOCKS * WIDTH / 8; ++i) {
      const int m = i / (WIDTH / 8);
      sums[i] = F4(sums[i].x * most[2 * m], sums[i].y * most[2 * m], sums[i].z * most[2 * m + 1],
                   sums[i].w * most[2 * m + 1]);
    }
    UNROLL for (int i = 0; i < BLOCKS * TILE / 8; ++i) {
      const int m = i / (TILE / 8);
      s[i] =
          F4(exp2_fast(to_log2 * s[i].x - shift[2 * m]), exp2_fast(to_log2 * s[i].y - shift[2 * m]),
             exp2_fast(to_log2 * s[i].z - shift[2 * m + 1]), exp2_fast(to_log2 * s[i].w - shift[2 * m + 1]));
      sum[2 * m] += s[i].x + s[i].y;
      sum[2 * m + 1] += s[i].z + s[i].w;
    }
    if (words > 0) UNROLL for (int m = 0; m < BLOCKS; ++m) {
        uint2 bits[2];
        UNROLL for (int i = 0; i < 2; ++i) {
          const int r = min(block + ROW(m, i), end - 1);
          bits[i] = bits_of_keys(keep + ((long)head * n_rows + r - row_begin) * words, key - first[r], words);
        }
        UNROLL for (int c = 0; c < TILE / 8; ++c) {
          const int i = m * (TILE / 8) + c, at = 8 * c + COLUMN;
          s[i] = F4(s[i].x * kept(bits[0], at, factor), s[i].y * kept(bits[0], at + 1, factor),
                    s[i].z * kept(bits[1], at, factor), s[i].w * kept(bits[1], at + 1, factor));
        }
      }
    uint4 p[BLOCKS * TILE / 16];
    UNROLL for (int i = 0; i < BLOCKS * TILE / 16; ++i) p[i] = sums_as_fragment(s + 2 * i);
    MULTIPLY(sums, p, BLOCKS, TILE / 16, v_tile, STEP, WIDTH);
  }

  quad_sum(sum, 2 * BLOCKS);
  float inverse[2 * BLOCKS];
  UNROLL for (int i = 0; i < 2 * BLOCKS; ++i) {
    inverse[i] = sum[i] != 0.0f ? 1.0f / sum[i] : 0.0f;  // a NaN is to be seen
    const int r = block + ROW(i / 2, i % 2);
    if (LANE % 4 == 0 && r < end)
      lse[(long)(r - row_begin) * heads + head] = sum[i] != 0.0f ? scale * largest[i] + log(sum[i]) : 0.0f;
  }
  const int o_step = heads * head_dim;
  store_block(o + (long)(block - row_begin) * o_step + (long)head * head_dim, o_step, sums, inverse, tiles,
              end - block, head_dim);
}

#elif PASS == 1

// d_q of the tile's own rows.
KERNEL GROUP_SIZE(ITEM_COUNT, 1)
    attention_d_queries(GLOBAL const T* qkv, int window_rows, GLOBAL const T* d_o, GLOBAL const i32* first,
                        GLOBAL const i32* last, GLOBAL const float* lse2, GLOBAL const float* delta,
                        GLOBAL const uint* keep, GLOBAL T* d_qkv, int row_begin, int n_rows, int query_begin,
                        int n_queries, int head_dim, int group, float scale, float factor, int words) {
  LOCAL ushort tiles[2 * STAGES * ROOM];  // keys and values
  LOCAL float part[ITEM_COUNT];
  const int head = GROUP(1), heads = GROUPS(1), slot = head / group * (group + 2) + head % group;
  const int step = heads / group * (group + 2) * head_dim, o_step = heads * head_dim;
  GLOBAL const T* q_head = qkv + (long)slot * head_dim;
  GLOBAL const T* k_head = q_head + (long)(group - head % group) * head_dim;
  const int block = row_begin + (GROUPS(0) - 1 - GROUP(0)) * ROWS,
            end = min(block + ROWS, row_begin + n_rows);
  const int mine = min(block + ITEM(0), end - 1), mine_first = first[mine], mine_last = last[mine];
  const bool sees = mine_first < mine_last;
  const int begin = group_min_of(sees ? mine_first : FAR, part), stop = group_max_of(mine_last, part);
  const int all_begin = group_max_of(mine_first, part), all_end = group_min_of(mine_last, part);

  LOCAL_ARG ushort* d_rows = tiles + BLOCKS * ROOM;
  UNROLL for (int m = 0; m < BLOCKS; ++m) {
    copy_tile(tiles + m * ROOM, q_head, step, block + m * TILE, 0, end, head_dim);
    copy_tile(d_rows + m * ROOM, d_o + (long)head * head_dim, o_step, block + m * TILE, query_begin, end,
              head_dim);
  }
  all_copied();
  BARRIER();
  uint4 q[BLOCKS * DEPTH], d[BLOCKS * DEPTH];
  take_fragments(q, tiles);
  take_fragments(d, d_rows);
  BARRIER();

  int warp_stop = 0;
  float shift[2 * BLOCKS], less[2 * BLOCKS];
  UNROLL for (int i = 0; i < 2 * BLOCKS; ++i) {
    const int r = min(block + ROW(i / 2, i % 2), end - 1);
    const long at = (long)head * n_queries + r - query_begin;
    warp_stop = max(warp_stop, last[r]);
    shift[i] = lse2[at];
    less[i] = delta[at];
  }
  warp_stop = max_of_warp(warp_stop);
  float4 sums[BLOCKS * WIDTH / 8];
  UNROLL for (int i = 0; i < BLOCKS * WIDTH / 8; ++i) sums[i] = F4(0.0f, 0.0f, 0.0f, 0.0f);
  const float to_log2 = scale * LOG2_E;
  int stage = 0;
  if (STAGES > 1 && begin < stop) {
    copy_tile(tiles, k_head, step, begin, 0, window_rows, head_dim);
    copy_tile(tiles + ROOM, k_head + head_dim, step, begin, 0, window_rows, head_dim);
  }
  for (int key = begin; key < stop; key += TILE) {
    LOCAL_ARG ushort *k_tile = tiles + stage * 2 * ROOM, *v_tile = k_tile + ROOM;
    if (STAGES == 1) {
      BARRIER();
      copy_tile(k_tile, k_head, step, key, 0, window_rows, head_dim);
      copy_tile(v_tile, k_head + head_dim, step, key, 0, window_rows, head_dim);
    }
    all_copied();
    BARRIER();
    if (STAGES > 1 && key + TILE < stop) {
      stage = 1 - stage;
      copy_tile(tiles + stage * 2 * ROOM, k_head, step, key + TILE, 0, window_rows, head_dim);
      copy_tile(tiles + stage * 2 * ROOM + ROOM, k_head + head_dim, step, key + TILE, 0, window_rows,
                head_dim);
    }
    if (key >= warp_stop) continue;
    const bool partly = key < all_begin || key + TILE > all_end;
    UNROLL for (int piece = 0; piece < TILE / PART; ++piece) {
      float4 s[BLOCKS * PART / 8], d_p[BLOCKS * PART / 8];
      UNROLL for (int i = 0; i < BLOCKS * PART / 8; ++i) s[i] = d_p[i] = F4(0.0f, 0.0f, 0.0f, 0.0f);
      MULTIPLY_BY_ROWS(s, q, BLOCKS, DEPTH, k_tile + piece * PART * STEP, STEP, PART);
      MULTIPLY_BY_ROWS(d_p, d, BLOCKS, DEPTH, v_tile + piece * PART * STEP, STEP, PART);
      if (words > 0) UNROLL for (int m = 0; m < BLOCKS; ++m) {
          uint2 bits[2];
          UNROLL for (int i = 0; i < 2; ++i) {
            const int r = min(block + ROW(m, i), end - 1);
            bits[i] = bits_of_keys(keep + ((long)head * n_queries + r - query_begin) * words, key - first[r],
                                   words);
          }
          UNROLL for (int c = 0; c < PART / 8; ++c) {
            const int i = m * (PART / 8) + c, at = piece * PART + 8 * c + COLUMN;
            d_p[i] = F4(d_p[i].x * kept(bits[0], at, factor), d_p[i].y * kept(bits[0], at + 1, factor),
                        d_p[i].z * kept(bits[1], at, factor), d_p[i].w * kept(bits[1], at + 1, factor));
          }
        }
      UNROLL for (int i = 0; i < BLOCKS * PART / 8; ++i) {
        const int m = i / (PART / 8), at = key + piece * PART + i % (PART / 8) * 8 + COLUMN;
        const float shift0 = shift[2 * m], shift1 = shift[2 * m + 1];
        const float less0 = less[2 * m], less1 = less[2 * m + 1];
        float4 x = F4(exp2_fast(to_log2 * s[i].x - shift0) * (d_p[i].x - less0),
                      exp2_fast(to_log2 * s[i].y - shift0) * (d_p[i].y - less0),
                      exp2_fast(to_log2 * s[i].z - shift1) * (d_p[i].z - less1),
                      exp2_fast(to_log2 * s[i].w - shift1) * (d_p[i].w - less1));
        if (partly) {
          const int2 u = keys_of(first, last, min(block + ROW(m, 0), end - 1));
          const int2 v = keys_of(first, last, min(block + ROW(m, 1), end - 1));
          if (at < u.x || at >= u.y) x.x = 0.0f;
          if (at + 1 < u.x || at + 1 >= u.y) x.y = 0.0f;
          if (at < v.x || at >= v.y) x.z = 0.0f;
          if (at + 1 < v.x || at + 1 >= v.y) x.w = 0.0f;
        }
        s[i] = x;
      }
      uint4 p[BLOCKS * PART / 16];
      UNROLL for (int i = 0; i < BLOCKS * PART / 16; ++i) p[i] = sums_as_fragment(s + 2 * i);
      MULTIPLY(sums, p, BLOCKS, PART / 16, k_tile + piece * PART * STEP, STEP, WIDTH);
    }
  }
  float factors[2 * BLOCKS];
  UNROLL for (int i = 0; i < 2 * BLOCKS; ++i) factors[i] = scale;
  store_block(d_qkv + (long)(block - row_begin) * step + (long)slot * head_dim, step, sums, factors, tiles,
              end - block, head_dim);
}

#elif PASS == 3

// Of rows of queries, by heads: Σ d_o o, and the log-sum-exp in powers of two. A row of a head is WIDTH / 8
// items'.
KERNEL GROUP_SIZE(ITEM_COUNT, 1)
    attention_row_sums(GLOBAL const T* o, GLOBAL const float* lse, GLOBAL const T* d_o, int rows, int heads,
                       int head_dim, int row_at, int n_rows, GLOBAL float* delta, GLOBAL float* lse2) {
  const long i = ((long)GROUP(0) * ITEM_COUNT + ITEM(0)) / (WIDTH / 8), n = (long)rows * heads;
  const int d = ITEM(0) % (WIDTH / 8) * 8;
  float sum = 0.0f;
  if (i < n && d < head_dim) sum = sum_wide(WHOLE(T, o + i * head_dim, d) * WHOLE(T, d_o + i * head_dim, d));
  sum = neighbours_sum(sum, WIDTH / 8);
  if (i >= n || d > 0) return;
  const long to = i % heads * n_rows + row_at + i / heads;
  delta[to] = sum;
  lse2[to] = lse[i] * LOG2_E;
}

#else

// d_k and d_v of the tile's own rows, from all queries that see them.
KERNEL GROUP_SIZE(ITEM_COUNT, 1)
    attention_d_keys(GLOBAL const T* qkv, int window_rows, GLOBAL const T* d_o, GLOBAL const i32* first,
                     GLOBAL const i32* last, GLOBAL const i32* sequence_end, GLOBAL const float* lse2,
                     GLOBAL const float* delta, GLOBAL const uint* keep, GLOBAL T* d_qkv, int row_begin,
                     int n_rows, int query_begin, int n_queries, int head_dim, int group, int causal,
                     float scale, float factor, int words) {
  LOCAL ushort tiles[2 * STAGES * ROOM];  // queries and d_o
  LOCAL float part[ITEM_COUNT];
  LOCAL float of_queries[STAGES * TILE * 2];  // log-sum-exp, Σ d_o o
  LOCAL int seen_keys[STAGES * TILE * 2];     // the first key of a query, and their end
  const int kv_head = GROUP(1), heads = GROUPS(1) * group, k_slot = kv_head * (group + 2) + group;
  const int step = GROUPS(1) * (group + 2) * head_dim, o_step = heads * head_dim;
  GLOBAL const T* k_head = qkv + (long)k_slot * head_dim;
  const int queries_end = query_begin + n_queries;
#if TURNS > 1
  for (int i = 0; i < TURNS && row_begin + (GROUP(0) * TURNS + i) * ROWS < row_begin + n_rows; ++i) {
    const int block = row_begin + (GROUP(0) * TURNS + i) * ROWS;
#else
  const int block = row_begin + GROUP(0) * ROWS;
#endif
    const int end = min(block + ROWS, row_begin + n_rows);
    const int mine = min(block + ITEM(0) % ROWS, end - 1), mine_first = first[mine];
    const bool seen = mine_first < sequence_end[mine];
    const int begin = max(query_begin, group_min_of(!seen    ? FAR
                                                    : causal ? mine
                                                             : mine_first,
                                                    part)),
              stop = min(queries_end, group_max_of(seen ? sequence_end[mine] : 0, part));

    uint4 k[BLOCKS * DEPTH], v[BLOCKS * DEPTH];
    UNROLL for (int which = 0; which < 2; ++which) {
      UNROLL for (int m = 0; m < BLOCKS; ++m)
          copy_tile(tiles + m * ROOM, k_head + which * head_dim, step, block + m * TILE, 0, end, head_dim);
      all_copied();
      BARRIER();
      take_fragments(which == 0 ? k : v, tiles);
      BARRIER();
    }

    float4 d_k[BLOCKS * WIDTH / 8], d_v[BLOCKS * WIDTH / 8];
    UNROLL for (int i = 0; i < BLOCKS * WIDTH / 8; ++i) d_k[i] = d_v[i] = F4(0.0f, 0.0f, 0.0f, 0.0f);
    const float to_log2 = scale * LOG2_E;
    const int tiles_each = begin < stop ? (stop - begin + TILE - 1) / TILE : 0, n_tiles = tiles_each * group;
    for (int turn = 1 - STAGES; turn < n_tiles; ++turn) {
      // The tile after this one is on its way meanwhile, where there is room for two.
      const int coming = turn + STAGES - 1, stage = coming % STAGES;
      if (STAGES == 1 || turn >= 0) {
        if (STAGES > 1) all_copied();
        BARRIER();
      }
      if (coming < n_tiles) {
        const int head = kv_head * group + coming / tiles_each, query = begin + coming % tiles_each * TILE;
        LOCAL_ARG ushort* q_tile = tiles + stage * 2 * ROOM;
        copy_tile(q_tile, k_head - (long)(group - coming / tiles_each) * head_dim, step, query, 0,
                  window_rows, head_dim);
        copy_tile(q_tile + ROOM, d_o + (long)head * head_dim, o_step, query, query_begin, queries_end,
                  head_dim);
        if (ITEM(0) < TILE) {
          const int r = query + ITEM(0);
          const bool given = r < queries_end;
          const long at = (long)head * n_queries + r - query_begin;
          const int to = (stage * TILE + ITEM(0)) * 2;
          seen_keys[to] = given ? first[r] : 0;
          seen_keys[to + 1] = given ? last[r] : 0;
          of_queries[to] = given ? lse2[at] : 0.0f;
          of_queries[to + 1] = given ? delta[at] : 0.0f;
        }
      }
      if (STAGES == 1) {
        all_copied();
        BARRIER();
      }
      if (turn >= 0) {
        const int now = turn % STAGES, head = kv_head * group + turn / tiles_each;
        const int query = begin + turn % tiles_each * TILE;
        LOCAL_ARG const ushort *q_tile = tiles + now * 2 * ROOM, *d_tile = q_tile + ROOM;
        const int key = block + ROW(0, 0) / 16 * 16;  // the warp's first
        bool sees_all = true, sees_any = false;
        UNROLL for (int i = LANE; i < TILE; i += 32) {
          LOCAL_ARG const int* of = seen_keys + (now * TILE + i) * 2;
          sees_all = sees_all && of[0] <= key && of[1] >= key + 16 * BLOCKS;
          sees_any = sees_any || (of[0] < key + 16 * BLOCKS && of[1] > key);
        }
        sees_all = all_of_warp(sees_all);
        if (!any_of_warp(sees_any)) continue;
        AS_REGISTERS_ALLOW for (int piece = 0; piece < TILE / PART; ++piece) {
          float4 p[BLOCKS * PART / 8], d[BLOCKS * PART / 8];
          UNROLL for (int i = 0; i < BLOCKS * PART / 8; ++i) p[i] = d[i] = F4(0.0f, 0.0f, 0.0f, 0.0f);
          MULTIPLY_BY_ROWS(p, k, BLOCKS, DEPTH, q_tile + piece * PART * STEP, STEP, PART);
          // Keys ROW(m, 0) and, in z and w, ROW(m, 1); the query `col` and, in y and w, the one after it.
          UNROLL for (int i = 0; i < BLOCKS * PART / 8; ++i) {
            const int m = i / (PART / 8), col = piece * PART + i % (PART / 8) * 8 + COLUMN;
            const float4 of = load4_local(of_queries + (now * TILE + col) * 2);
            p[i] = F4(exp2_fast(to_log2 * p[i].x - of.x), exp2_fast(to_log2 * p[i].y - of.z),
                      exp2_fast(to_log2 * p[i].z - of.x), exp2_fast(to_log2 * p[i].w - of.z));
            if (!sees_all) {
              const int *keys = seen_keys + (now * TILE + col) * 2, n = block + ROW(m, 0);
              if (n < keys[0] || n >= keys[1]) p[i].x = 0.0f;
              if (n < keys[2] || n >= keys[3]) p[i].y = 0.0f;
              if (n + 8 < keys[0] || n + 8 >= keys[1]) p[i].z = 0.0f;
              if (n + 8 < keys[2] || n + 8 >= keys[3]) p[i].w = 0.0f;
            }
          }
#if DROPPED
          float4 kept[BLOCKS * PART / 8], passed[BLOCKS * PART / 8];
          UNROLL for (int i = 0; i < BLOCKS * PART / 8; ++i) {
            const int m = i / (PART / 8), col = piece * PART + i % (PART / 8) * 8 + COLUMN;
            float bits[4], probs[4] = {p[i].x, p[i].y, p[i].z, p[i].w};
            UNROLL for (int e = 0; e < 4; ++e) {
              const long q = (long)head * n_queries + min(query + col + e % 2, queries_end - 1) - query_begin;
              const int bit = block + ROW(m, e / 2) - seen_keys[(now * TILE + col + e % 2) * 2];
              bits[e] = probs[e] != 0.0f && keep[q * words + (bit >> 5)] >> (bit & 31) & 1 ? factor : 0.0f;
            }
            kept[i] = F4(bits[0], bits[1], bits[2], bits[3]);
            passed[i] = F4(p[i].x * bits[0], p[i].y * bits[1], p[i].z * bits[2], p[i].w * bits[3]);
          }
#else
        const float4* passed = p;
#endif
          uint4 a[BLOCKS * PART / 16];
          UNROLL for (int i = 0; i < BLOCKS * PART / 16; ++i) a[i] = sums_as_fragment(passed + 2 * i);
          MULTIPLY(d_v, a, BLOCKS, PART / 16, d_tile + piece * PART * STEP, STEP, WIDTH);
          MULTIPLY_BY_ROWS(d, v, BLOCKS, DEPTH, d_tile + piece * PART * STEP, STEP, PART);
          UNROLL for (int i = 0; i < BLOCKS * PART / 8; ++i) {
            const int col = piece * PART + i % (PART / 8) * 8 + COLUMN;
            const float4 of = load4_local(of_queries + (now * TILE + col) * 2);
#if DROPPED
            d[i] = d[i] * kept[i];
#endif
            d[i] = F4(p[i].x * (d[i].x - of.y), p[i].y * (d[i].y - of.w), p[i].z * (d[i].z - of.y),
                      p[i].w * (d[i].w - of.w));
          }
          UNROLL for (int i = 0; i < BLOCKS * PART / 16; ++i) a[i] = sums_as_fragment(d + 2 * i);
          MULTIPLY(d_k, a, BLOCKS, PART / 16, q_tile + piece * PART * STEP, STEP, WIDTH);
        }
      }
    }
    GLOBAL T* out = d_qkv + (long)(block - row_begin) * step + (long)k_slot * head_dim;
    float factors[2 * BLOCKS], ones[2 * BLOCKS];
    UNROLL for (int i = 0; i < 2 * BLOCKS; ++i) {
      factors[i] = scale;
      ones[i] = 1.0f;
    }
    store_block(out, step, d_k, factors, tiles, end - block, head_dim);
    store_block(out + head_dim, step, d_v, ones, tiles, end - block, head_dim);
#if TURNS > 1
    BARRIER();
  }
#endif
}

#endif
