// attention on devices, in f32: blocks of rows against panels of 64 rows, by products in local memory.
// SPDX-License-Identifier: Apache-2.0
//
// T: of qkv and o. WIDTH: head_dim filled up with zeros to a multiple of 64. ROWS: of a block. BACKWARD: 0
// or 1. A "slot" is one head's columns of a query, key or value; rows are counted from the first row of the
// window. Groups have 64 items: each has an eighth of a block's rows, and of the columns one eighth of
// every 64.
#define PANEL 64

// How deep a slice of a panel is, and how many of its rows a slice of row-major values has: what is in local
// memory.
#define DEPTH 32
#define SLICE (WIDTH == 64 ? 32 : WIDTH == 128 ? 16 : 8)
#define SLICE_ROOM (DEPTH * PANEL > SLICE * WIDTH ? DEPTH * PANEL : SLICE * WIDTH)

#define EACH (ROWS / 8)       // rows of an item
#define VECTORS (WIDTH / 64)  // of an item in a row
#define ROW (ITEM(0) / 8 * EACH)
#define COLUMN (ITEM(0) % 8 * 8)
#define P_STEP (PANEL + 1)  // odd, so that the rows of a block lie in different banks
#define LOG2_E 1.44269504f

// Slots of a tile as f32, filled up with zeros to `n` rows: those whose kind's bit (1 query, 2 key, 4 value)
// is in panel_kinds in panels [n_panels][WIDTH][PANEL], those in row_kinds as rows [n_panels * PANEL][WIDTH].
KERNEL GROUP_SIZE(PANEL, 1)
    pack(GLOBAL const T* src, long src_step, int rows, int n, int row_at, int head_dim, int group,
         int panel_kinds, int row_kinds, GLOBAL float* panels, GLOBAL float* by_rows, int n_panels) {
  const int slot = GROUP(1), in_unit = slot % (group + 2), r = GROUP(0) * PANEL + ITEM(0);
  const int kind = in_unit < group ? 1 : in_unit == group ? 2 : 4;
  if (r >= n) return;
  const int row = row_at + r, width = r < rows ? head_dim : 0;
  const long base = (long)slot * n_panels * PANEL * WIDTH, from = r * src_step + (long)slot * head_dim;
  if (row_kinds & kind) {
    GLOBAL float* to = by_rows + base + (long)row * WIDTH;
    for (int d = 0; d < width; ++d) to[d] = LOAD(T, src, from + d);
    for (int d = width; d < WIDTH; ++d) to[d] = 0.0f;
  }
  if (panel_kinds & kind) {
    GLOBAL float* to = panels + base + (long)(row / PANEL) * PANEL * WIDTH + row % PANEL;
    for (int d = 0; d < width; ++d) to[d * PANEL] = LOAD(T, src, from + d);
    for (int d = width; d < WIDTH; ++d) to[d * PANEL] = 0.0f;
  }
}

// For n of the rows, from row_at on: their keys are [first, last), their sequence ends at `end`; all 0 for
// padding and the other rows. `starts` are rows of the whole tensor, of which the window's first is row0.
KERNEL spans(GLOBAL const i32* starts, long n, int row_at, long row0, long seq, int aligned, int causal,
             long rows, GLOBAL i32* first, GLOBAL i32* last, GLOBAL i32* end, GLOBAL i32* fault) {
  FOR_EACH(at, rows) {
    const long i = at - row_at;
    if (i < 0 || i >= n) {
      first[at] = last[at] = end[at] = 0;
      continue;
    }
    const long start = starts[i], row = row0 + at;
    bool live = start >= 0;
    if (live && (start > row || (aligned ? start / seq != row / seq : row - start >= seq))) {
      fault[0] = (i32)row + 1;
      fault[1] = (i32)start;
      live = false;
    }
    int low = (int)i + 1, high = live ? (int)n : (int)i + 1;  // the first row that is not of the sequence
    while (low < high) {
      const int middle = (low + high) / 2;
      if (starts[middle] == (i32)start)
        low = middle + 1;
      else
        high = middle;
    }
    first[at] = live ? (i32)(start - row0) : 0;
    end[at] = live ? row_at + low : 0;
    last[at] = !live ? 0 : causal ? (i32)at + 1 : row_at + low;
  }
}

// Bits of the probabilities that dropout keeps: [heads][n_rows][words], the n-th key of the sequence is bit
// n.
KERNEL keep_bits(GLOBAL const i32* rng, int stream, uint least, long element, long row_elements,
                 long head_elements, int heads, int row_begin, int n_rows, int words, GLOBAL const i32* first,
                 GLOBAL const i32* last, GLOBAL uint* keep) {
  FOR_EACH(i, (long)heads * n_rows * words) {
    const long at = i / words, head = at / n_rows, row = at % n_rows;
    if (i % words * 32 >= last[row_begin + row] - first[row_begin + row]) continue;
    const ulong e = (ulong)(element + row * row_elements + head * head_elements + i % words * 32);
    uint bits = 0;
    for (int block = 0; block < 4; ++block) {
      uint x[4];
      philox_block((uint)rng[0], (uint)rng[1], (uint)stream, e / 8 + block, x);
      for (int k = 0; k < 4; ++k) {
        bits |= (uint)((x[k] & 0xffff) >= least) << (8 * block + 2 * k);
        bits |= (uint)(x[k] >> 16 >= least) << (8 * block + 2 * k + 1);
      }
    }
    keep[i] = bits;
  }
}

// 32 bits of the row whose bits are `keep`, from the n-th key on; beyond its words nothing is kept.
FN uint kept_bits(GLOBAL const uint* keep, int n, int words) {
  const int word = n >> 5, shift = n & 31;
  const uint low = word >= 0 && word < words ? keep[word] : 0;
  const uint high = word >= -1 && word + 1 < words ? keep[word + 1] : 0;
  return shift == 0 ? low : low >> shift | high << (32 - shift);
}

FN void copy_to_local(LOCAL_ARG float* to, GLOBAL const float* from, const int n) {
  for (int i = 8 * ITEM(0); i < n; i += 8 * PANEL) store8_local(to + i, load8_f32(from, i));
}

// Rows of a panel, from its given row on: [WIDTH][ROWS].
FN void copy_block(LOCAL_ARG float* to, GLOBAL const float* panel) {
  for (int i = 8 * ITEM(0); i < WIDTH * ROWS; i += 8 * PANEL)
    store8_local(to + i, load8_f32(panel, i / ROWS * PANEL + i % ROWS));
}

// sums[EACH][n] += Σ_k a[k, r] b[k, c]; sums are kept in registers meanwhile.
#define MULTIPLY(sums, n, from_a, a_step, a_row, from_b, b_step, depth)                            \
  {                                                                                                \
    LOCAL_ARG const float* a = from_a;                                                             \
    LOCAL_ARG const float* b = from_b;                                                             \
    float8 x[EACH * (n)];                                                                          \
    UNROLL for (int i = 0; i < EACH * (n); ++i) x[i] = sums[i];                                    \
    for (int k = 0; k < OWN_LENGTH(depth); ++k) {                                                  \
      UNROLL for (int c = 0; c < (n); ++c) {                                                       \
        const float8 y = load8_local(b + k * (b_step) + c * 64);                                   \
        UNROLL for (int r = 0; r < EACH; ++r) x[r * (n) + c] += a[k * (a_step) + r * (a_row)] * y; \
      }                                                                                            \
    }                                                                                              \
    UNROLL for (int i = 0; i < EACH * (n); ++i) sums[i] = x[i];                                    \
  }

// sums[EACH] = the item's part of a block [WIDTH][ROWS] times a panel
FN void score(float8* sums, LOCAL_ARG const float* block, GLOBAL const float* panel, LOCAL_ARG float* slice) {
  UNROLL for (int r = 0; r < EACH; ++r) sums[r] = SPLAT8(0.0f);
  for (int d = 0; d < WIDTH; d += DEPTH) {
    copy_to_local(slice, panel + d * PANEL, DEPTH * PANEL);
    BARRIER();
    MULTIPLY(sums, 1, block + d * ROWS + ROW, ROWS, 1, slice + COLUMN, PANEL, DEPTH)
    BARRIER();
  }
}

// sums[EACH][VECTORS] += the item's part of p [ROWS][P_STEP] times the rows [begin, end) of a panel
FN void add_rows(float8* sums, LOCAL_ARG const float* p, GLOBAL const float* panel_rows, int begin, int end,
                 LOCAL_ARG float* slice) {
  for (int key = begin / SLICE * SLICE; key < end; key += SLICE) {
    copy_to_local(slice, panel_rows + key * WIDTH, SLICE * WIDTH);
    BARRIER();
    MULTIPLY(sums, VECTORS, p + ROW * P_STEP + key, 1, P_STEP, slice + COLUMN, WIDTH, SLICE)
    BARRIER();
  }
}

FN void store_part(LOCAL_ARG float* p, const float8* part) {
  UNROLL for (int r = 0; r < EACH; ++r) store8_local(p + (ROW + r) * P_STEP + COLUMN, part[r]);
}

// The rows that a block's ranges cover together; an empty one where there are none.
FN void span_of(LOCAL_ARG int* span, LOCAL_ARG const float* firsts, LOCAL_ARG const float* lasts) {
  BARRIER();
  if (ITEM(0) == 0) {
    float begin = INFINITY, end = 0.0f;
    for (int r = 0; r < ROWS; ++r)
      if (firsts[r] < lasts[r]) {
        begin = fmin(begin, firsts[r]);
        end = fmax(end, lasts[r]);
      }
    span[0] = (int)fmin(begin, end);
    span[1] = (int)end;
  }
  BARRIER();
}

// The item's part of a block to rows of `to`, as far as they are the tile's own.
FN void store_sums(GLOBAL T* to, long step, const float8* sums, int first_row, int n_rows, int head_dim) {
  UNROLL for (int r = 0; r < EACH; ++r) {
    const int row = first_row + ROW + r;
    if (row < 0 || row >= n_rows) continue;
    UNROLL for (int c = 0; c < VECTORS; ++c) {
      float x[8];
      unpack8(x, sums[r * VECTORS + c]);
      UNROLL for (int k = 0; k < 8; ++k) if (COLUMN + 64 * c + k < head_dim)
          STORE(T, to, row * step + COLUMN + 64 * c + k, x[k]);
    }
  }
}

#if !BACKWARD

KERNEL GROUP_SIZE(PANEL, 1)
    attention(GLOBAL const float* packed, GLOBAL const i32* first, GLOBAL const i32* last,
              GLOBAL const uint* keep, GLOBAL T* o, GLOBAL float* lse, int n_panels, int row_begin,
              int n_rows, int head_dim, int group, float scale, float factor, int words) {
  LOCAL float q[WIDTH * ROWS];
  LOCAL float slice[SLICE_ROOM];
  LOCAL float p[ROWS * P_STEP];
  LOCAL float part[ROWS * 8];
  LOCAL float firsts[ROWS];
  LOCAL float lasts[ROWS];
  LOCAL float largest[ROWS];
  LOCAL float shift[ROWS];
  LOCAL float shrink[ROWS];
  LOCAL int keys[2];
  const int head = GROUP(1), heads = GROUPS(1), slot = head / group * (group + 2) + head % group;
  const int block = (row_begin / ROWS + GROUPS(0) - 1 - GROUP(0)) * ROWS,
            row = ROW;  // those with most keys first
  const long panel = PANEL * WIDTH;
  GLOBAL const float* k_panels = packed + (slot - head % group + group) * n_panels * panel;
  GLOBAL const float* v_rows = k_panels + n_panels * panel;
  copy_block(q, packed + (slot * n_panels + block / PANEL) * panel + block % PANEL);
  if (ITEM(0) < ROWS) {
    const int r = block + ITEM(0);
    const bool own = r >= row_begin && r < row_begin + n_rows;
    firsts[ITEM(0)] = own ? first[r] : 0;
    lasts[ITEM(0)] = own ? last[r] : 0;
    largest[ITEM(0)] = -INFINITY;
  }
  span_of(keys, firsts, lasts);

  const float to_log2 = scale * LOG2_E;
  float sum[EACH];
  float8 sums[EACH * VECTORS];
  UNROLL for (int r = 0; r < EACH; ++r) sum[r] = 0.0f;
  UNROLL for (int i = 0; i < EACH * VECTORS; ++i) sums[i] = SPLAT8(0.0f);
  for (int key = keys[0] / PANEL * PANEL; key < keys[1]; key += PANEL) {
    float8 s[EACH];
    score(s, q, k_panels + key / PANEL * panel, slice);
    UNROLL for (int r = 0; r < EACH; ++r) {
      s[r] = within8(SPLAT8(firsts[row + r]), lanes8(key + COLUMN), SPLAT8(lasts[row + r]), s[r], -INFINITY);
      part[(row + r) * 8 + COLUMN / 8] = max8(s[r]);
    }
    BARRIER();
    if (ITEM(0) < ROWS) {
      const float before = largest[ITEM(0)], most = fmax(before, max8(load8_local(part + ITEM(0) * 8)));
      largest[ITEM(0)] = most;
      shift[ITEM(0)] = most == -INFINITY ? 0.0f : to_log2 * most;
      shrink[ITEM(0)] = most > before ? exp2(to_log2 * (before - most)) : 1.0f;
    }
    BARRIER();
    UNROLL for (int r = 0; r < EACH; ++r) {
      const float less = shrink[row + r];
      s[r] = exp2_negative8(to_log2 * s[r] - shift[row + r]);
      sum[r] = sum[r] * less + sum8(s[r]);
      UNROLL for (int c = 0; c < VECTORS; ++c) sums[r * VECTORS + c] = less * sums[r * VECTORS + c];
    }
    if (words > 0) {
      for (int r = 0; r < EACH; ++r) {
        const long at = (long)head * n_rows + min(max(block + row + r - row_begin, 0), n_rows - 1);
        const uint bits = kept_bits(keep + at * words, key + COLUMN - (int)firsts[row + r], words);
        s[r] = bits8(bits, factor) * s[r];
      }
    }
    store_part(p, s);
    add_rows(sums, p, v_rows + key * (long)WIDTH, max(keys[0] - key, 0), min(keys[1] - key, PANEL), slice);
  }

  UNROLL for (int r = 0; r < EACH; ++r) part[(row + r) * 8 + COLUMN / 8] = sum[r];
  BARRIER();
  UNROLL for (int r = 0; r < EACH; ++r) {
    const float total = sum8(load8_local(part + (row + r) * 8));
    const float inverse = total != 0.0f ? 1.0f / total : 0.0f;  // a NaN is to be seen
    UNROLL for (int c = 0; c < VECTORS; ++c) sums[r * VECTORS + c] = inverse * sums[r * VECTORS + c];
  }
  const int own = block + ITEM(0) - row_begin;
  if (ITEM(0) < ROWS && own >= 0 && own < n_rows) {
    const float total = sum8(load8_local(part + ITEM(0) * 8));
    lse[(long)own * heads + head] = total != 0.0f ? scale * largest[ITEM(0)] + log(total) : 0.0f;
  }
  store_sums(o + (long)head * head_dim, (long)heads * head_dim, sums, block - row_begin, n_rows, head_dim);
}

#else

// Of rows of queries, by heads: Σ d_o o, and the log-sum-exp in powers of two.
KERNEL row_sums(GLOBAL const T* o, GLOBAL const float* lse, GLOBAL const T* d_o, int rows, int heads,
                int head_dim, int row_at, int n_rows, GLOBAL float* delta, GLOBAL float* lse2) {
  FOR_EACH(i, (long)rows * heads) {
    const long head = i / rows, r = i % rows, from = r * heads + head, to = head * n_rows + row_at + r;
    wide x = SPLAT(0.0f);
    for (int d = 0; d < head_dim; d += WIDE)
      x += LOADW(T, o + from * head_dim, d, head_dim) * LOADW(T, d_o + from * head_dim, d, head_dim);
    delta[to] = sum_wide(x);
    lse2[to] = lse[from] * LOG2_E;
  }
}

// d_q of the tile's own rows.
KERNEL GROUP_SIZE(PANEL, 1)
    attention_d_queries(GLOBAL const float* panels, GLOBAL const float* by_rows,
                        GLOBAL const float* d_o_panels, GLOBAL const i32* first, GLOBAL const i32* last,
                        GLOBAL const float* lse2, GLOBAL const float* delta, GLOBAL const uint* keep,
                        GLOBAL T* d_qkv, int n_panels, int row_begin, int n_rows, int query_begin,
                        int n_queries, int head_dim, int group, float scale, float factor, int words) {
  LOCAL float q[WIDTH * ROWS];
  LOCAL float d_o[WIDTH * ROWS];
  LOCAL float slice[SLICE_ROOM];
  LOCAL float p[ROWS * P_STEP];
  LOCAL float shift[ROWS];
  LOCAL float less[ROWS];
  LOCAL float firsts[ROWS];
  LOCAL float lasts[ROWS];
  LOCAL int keys[2];
  const int head = GROUP(1), slots = GROUPS(1) / group * (group + 2);
  const int slot = head / group * (group + 2) + head % group, k_slot = slot - head % group + group;
  const int block = (row_begin / ROWS + GROUPS(0) - 1 - GROUP(0)) * ROWS, row = ROW;
  const long panel = PANEL * WIDTH, at_block = block / PANEL * panel + block % PANEL;
  const long queries = (long)head * n_queries - query_begin;  // where the head's row 0 would be
  copy_block(q, panels + slot * n_panels * panel + at_block);
  copy_block(d_o, d_o_panels + head * n_panels * panel + at_block);
  if (ITEM(0) < ROWS) {
    const int r = block + ITEM(0);
    const bool own = r >= row_begin && r < row_begin + n_rows;
    firsts[ITEM(0)] = own ? first[r] : 0;
    lasts[ITEM(0)] = own ? last[r] : 0;
    shift[ITEM(0)] = own ? lse2[queries + r] : 0.0f;
    less[ITEM(0)] = own ? delta[queries + r] : 0.0f;
  }
  span_of(keys, firsts, lasts);

  float8 sums[EACH * VECTORS];
  UNROLL for (int i = 0; i < EACH * VECTORS; ++i) sums[i] = SPLAT8(0.0f);
  for (int key = keys[0] / PANEL * PANEL; key < keys[1]; key += PANEL) {
    float8 s[EACH], d_p[EACH];
    score(s, q, panels + (k_slot * n_panels + key / PANEL) * panel, slice);
    score(d_p, d_o, panels + ((k_slot + 1) * n_panels + key / PANEL) * panel, slice);
    UNROLL for (int r = 0; r < EACH; ++r) {
      if (words > 0) {
        const long at = queries + min(max(block + row + r, row_begin), row_begin + n_rows - 1);
        const uint bits = kept_bits(keep + at * words, key + COLUMN - (int)firsts[row + r], words);
        d_p[r] = bits8(bits, factor) * d_p[r];
      }
      const float8 e = exp2_negative8(scale * LOG2_E * s[r] - shift[row + r]);
      const float8 d_s = scale * e * (d_p[r] - less[row + r]);
      s[r] = within8(SPLAT8(firsts[row + r]), lanes8(key + COLUMN), SPLAT8(lasts[row + r]), d_s, 0.0f);
    }
    store_part(p, s);
    add_rows(sums, p, by_rows + (k_slot * n_panels * PANEL + key) * (long)WIDTH, max(keys[0] - key, 0),
             min(keys[1] - key, PANEL), slice);
  }
  store_sums(d_qkv + (long)slot * head_dim, (long)slots * head_dim, sums, block - row_begin, n_rows,
             head_dim);
}

// d_k and d_v of the tile's own rows, from all queries that see them.
KERNEL GROUP_SIZE(PANEL, 1)
    attention_d_keys(GLOBAL const float* panels, GLOBAL const float* by_rows, GLOBAL const float* d_o_panels,
                     GLOBAL const float* d_o_rows, GLOBAL const i32* first, GLOBAL const i32* last,
                     GLOBAL const i32* end, GLOBAL const float* lse2, GLOBAL const float* delta,
                     GLOBAL const uint* keep, GLOBAL T* d_qkv, int n_panels, int row_begin, int n_rows,
                     int query_begin, int n_queries, int head_dim, int group, int causal, float scale,
                     float factor, int words) {
  LOCAL float k[WIDTH * ROWS];
  LOCAL float v[WIDTH * ROWS];
  LOCAL float slice[SLICE_ROOM];
  LOCAL float p[ROWS * P_STEP];
  LOCAL float shift[PANEL];
  LOCAL float less[PANEL];
  LOCAL float firsts[PANEL];
  LOCAL float lasts[PANEL];
  LOCAL int queries[2];
  const int k_slot = GROUP(1) * (group + 2) + group, slots = GROUPS(1) * (group + 2);
  const int block = (row_begin / ROWS + GROUP(0)) * ROWS, row = ROW;
  const long panel = PANEL * WIDTH, at_block = block / PANEL * panel + block % PANEL;
  copy_block(k, panels + k_slot * n_panels * panel + at_block);
  copy_block(v, panels + (k_slot + 1) * n_panels * panel + at_block);
  if (ITEM(0) < ROWS) {
    const int r = block + ITEM(0);
    const bool own = r >= row_begin && r < row_begin + n_rows;
    firsts[ITEM(0)] = !own ? 0 : causal && first[r] < end[r] ? r : first[r];
    lasts[ITEM(0)] = own ? end[r] : 0;
  }
  span_of(queries, firsts, lasts);

  float8 d_k[EACH * VECTORS], d_v[EACH * VECTORS];
  UNROLL for (int i = 0; i < EACH * VECTORS; ++i) d_k[i] = d_v[i] = SPLAT8(0.0f);
  for (int head = GROUP(1) * group; head < (GROUP(1) + 1) * group; ++head) {
    const int slot = k_slot - group + head % group;
    for (int query = queries[0] / PANEL * PANEL; query < queries[1]; query += PANEL) {
      const int from = max(queries[0] - query, 0), to = min(queries[1] - query, PANEL),
                mine = query + ITEM(0);
      const bool given = mine >= query_begin && mine < query_begin + n_queries;
      const long at = (long)head * n_queries + mine - query_begin;
      firsts[ITEM(0)] = given ? first[mine] : 0;
      lasts[ITEM(0)] = given ? last[mine] : 0;
      shift[ITEM(0)] = given ? lse2[at] : 0.0f;
      less[ITEM(0)] = given ? delta[at] : 0.0f;
      float8 s[EACH], d_p[EACH];
      score(s, k, panels + (slot * n_panels + query / PANEL) * panel, slice);
      score(d_p, v, d_o_panels + (head * n_panels + query / PANEL) * panel, slice);
      if (words > 0) {
        for (int c = COLUMN; c < COLUMN + 8; ++c) {
          const long q = (long)head * n_queries + min(max(query + c - query_begin, 0), n_queries - 1);
          const uint bits = kept_bits(keep + q * words, block + row - (int)firsts[c], words);
          for (int r = 0; r < EACH; ++r) p[(row + r) * P_STEP + c] = bits >> r & 1 ? factor : 0.0f;
        }
      }
      UNROLL for (int r = 0; r < EACH; ++r) {
        const float8 low = load8_local(firsts + COLUMN), high = load8_local(lasts + COLUMN);
        const float8 key = SPLAT8(block + row + r);
        float8 e = exp2_negative8(scale * LOG2_E * s[r] - load8_local(shift + COLUMN));
        float8 kept = e;
        if (words > 0) {
          const float8 y = load8_local(p + (row + r) * P_STEP + COLUMN);
          kept = y * e;
          d_p[r] = y * d_p[r];
        }
        s[r] = within8(low, key, high, kept, 0.0f);
        d_p[r] = within8(low, key, high, scale * e * (d_p[r] - load8_local(less + COLUMN)), 0.0f);
      }
      store_part(p, s);
      add_rows(d_v, p, d_o_rows + (head * n_panels * PANEL + query) * (long)WIDTH, from, to, slice);
      store_part(p, d_p);
      add_rows(d_k, p, by_rows + (slot * n_panels * PANEL + query) * (long)WIDTH, from, to, slice);
    }
  }
  GLOBAL T* out = d_qkv + (long)k_slot * head_dim;
  store_sums(out, (long)slots * head_dim, d_k, block - row_begin, n_rows, head_dim);
  store_sums(out + head_dim, (long)slots * head_dim, d_v, block - row_begin, n_rows, head_dim);
}

#endif
