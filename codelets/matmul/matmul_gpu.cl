// C[m, n] = op(A) · op(B) (+ bias[n]) (+ D[m, n]) on devices, twice: in panels for CPUs, in tiles for GPUs.
// SPDX-License-Identifier: Apache-2.0
//
// TA, TB, TC, TD are storage types. TRANSPOSES: 1 where A is stored [k, m], 2 where B is stored [n, k]. A
// group computes TM × TN of C in steps of TK along k, in blocks of MR × NR that lie in registers. Every
// element is summed in the order of k whatever these sizes, so they do not change its bits. HAS: 1 a bias, 2
// a D, which may be C.
#define A_TRANSPOSED ((TRANSPOSES & 1) != 0)
#define B_TRANSPOSED ((TRANSPOSES & 2) != 0)
#define HAS_BIAS 1
#define HAS_D 2

#define BIAS_AT(j) (has & HAS_BIAS ? bias[j] : 0.0f)
#define D_AT(i, j) (has & HAS_D ? LOAD(TD, d, (long)(i) * ldd + (j)) : 0.0f)

#if NR >= 16

// For CPUs, in vectors of 16 as only OpenCL has them. A group is one item: it copies blocks of A and B, as
// floats, to memory that stays in the cache, those of B in panels of NR columns.
#define NV (NR / 16)

FN float4 wide4_f32(GLOBAL const f32* p, long i) { return vload4(0, p + i); }
FN float4 wide4_bf16(GLOBAL const bf16* p, long i) {
  return as_float4(convert_uint4(vload4(0, p + i)) << 16);
}
FN float4 wide4_f16(GLOBAL const f16* p, long i) {
  return F4(load_f16(p, i), load_f16(p, i + 1), load_f16(p, i + 2), load_f16(p, i + 3));
}
#define WIDE4(T, p, i) PASTE(wide4, T)(p, i)

// to[i] = from[at + i] for i < count, then zeros.
#define COPY(NAME, T)                                                                       \
  FN void NAME(LOCAL_ARG float* to, GLOBAL const T* from, long at, int count, int filled) { \
    int i = 0;                                                                              \
    for (; i + 16 <= count; i += 16) vstore16(WHOLE(T, from, at + i), 0, to + i);           \
    for (; i < count; ++i) to[i] = LOAD(T, from, at + i);                                   \
    for (; i < filled; ++i) to[i] = 0;                                                      \
  }
COPY(copy_a, TA)
COPY(copy_b, TB)

// A's block: a row per row of C, where rows one page apart would share a place in the cache; or a row per k.
#define A_PITCH (A_TRANSPOSED ? TM : TK + 16)
#define A_AT(i, k) (A_TRANSPOSED ? (k) * A_PITCH + (i) : (i) * A_PITCH + (k))

FN void block_of_a(LOCAL_ARG float* to, GLOBAL const TA* a, long at, int lda, int rows, int depth) {
  const int filled = (rows + MR - 1) / MR * MR;
  if (A_TRANSPOSED)
    for (int k = 0; k < depth; ++k) copy_a(to + k * A_PITCH, a, at + (long)k * lda, rows, filled);
  else
    for (int i = 0; i < filled; ++i)
      copy_a(to + i * A_PITCH, a, at + (long)i * lda, i < rows ? depth : 0, depth);
}

FN void panels_of_b(LOCAL_ARG float* to, GLOBAL const TB* b, long at, int ldb, int cols, int depth) {
  for (int k = 0; k < depth; ++k)
    for (int j = 0; j < cols; j += NR)
      copy_b(to + j * TK + k * NR, b, at + (long)k * ldb + j, min(NR, cols - j), NR);
}

// The same where B is stored [n, k], four columns at a time.
FN void panels_of_b_transposed(LOCAL_ARG float* to, GLOBAL const TB* b, long at, int ldb, int cols,
                               int depth) {
  for (int j = 0; j < (cols + NR - 1) / NR * NR; j += 4) {
    LOCAL_ARG float* panel = to + j / NR * (NR * TK) + j % NR;
    const long from = at + (long)j * ldb;
    int k = 0;
    for (; j + 4 <= cols && k + 4 <= depth; k += 4) {
      const float4 x = WIDE4(TB, b, from + k), y = WIDE4(TB, b, from + ldb + k);
      const float4 z = WIDE4(TB, b, from + 2L * ldb + k), w = WIDE4(TB, b, from + 3L * ldb + k);
      vstore4((float4)(x.x, y.x, z.x, w.x), 0, panel + k * NR);
      vstore4((float4)(x.y, y.y, z.y, w.y), 0, panel + (k + 1) * NR);
      vstore4((float4)(x.z, y.z, z.z, w.z), 0, panel + (k + 2) * NR);
      vstore4((float4)(x.w, y.w, z.w, w.w), 0, panel + (k + 3) * NR);
    }
    for (; k < depth; ++k)
      for (int l = 0; l < 4; ++l)
        panel[k * NR + l] = j + l < cols ? LOAD(TB, b, from + (long)l * ldb + k) : 0;
  }
}

// `rows` of TM, so that small products make enough groups.
KERNEL GROUP_SIZE(1, 1) matmul_panels(GLOBAL const TA* a, GLOBAL const TB* b, GLOBAL TC* c,
                                      GLOBAL const float* bias, GLOBAL const TD* d, int has, int m, int n,
                                      int k, int lda, int ldb, int ldc, int ldd, int rows) {
  LOCAL float block[A_TRANSPOSED ? TK * A_PITCH : TM * A_PITCH] __attribute__((aligned(64)));
  LOCAL float panels[TN * TK] __attribute__((aligned(64)));
  LOCAL float sums[TM * TN] __attribute__((aligned(64)));
  const int i0 = GROUP(1) * rows, j0 = GROUP(0) * TN;
  const int height = min(rows, m - i0), width = min(TN, n - j0);
  for (int k0 = 0; k0 < k; k0 += TK) {
    const int depth = min(TK, k - k0);
    const long from_a = A_TRANSPOSED ? (long)k0 * lda + i0 : (long)i0 * lda + k0;
    block_of_a(block, a, from_a, lda, height, depth);
    if (B_TRANSPOSED)
      panels_of_b_transposed(panels, b, (long)j0 * ldb + k0, ldb, width, depth);
    else
      panels_of_b(panels, b, (long)k0 * ldb + j0, ldb, width, depth);
    for (int j = 0; j < width; j += NR)
      for (int i = 0; i < height; i += MR) {
        LOCAL_ARG wide* sum = (LOCAL_ARG wide*)(sums + i * TN + j * MR);
        LOCAL_ARG const wide* columns = (LOCAL_ARG const wide*)(panels + j * TK);
        wide x[MR][NV];
        UNROLL
        for (int r = 0; r < MR; ++r) UNROLL
        for (int v = 0; v < NV; ++v) x[r][v] = k0 > 0 ? sum[r * NV + v] : SPLAT(0.0f);
        for (int l = 0; l < depth; ++l) {
          UNROLL
          for (int r = 0; r < MR; ++r) {
            const wide left = SPLAT(block[A_AT(i + r, l)]);
            UNROLL
            for (int v = 0; v < NV; ++v) x[r][v] = left * columns[l * NV + v] + x[r][v];
          }
        }
        if (k0 + TK >= k && i + MR <= height && j + NR <= width) {
          UNROLL
          for (int r = 0; r < MR; ++r) UNROLL
          for (int v = 0; v < NV; ++v) {
            const int row = i0 + i + r, col = j0 + j + 16 * v;
            wide y = x[r][v];
            if (has & HAS_BIAS) y += vload16(0, bias + col);
            if (has & HAS_D) y += WHOLE(TD, d, (long)row * ldd + col);
            PUT_WHOLE(TC, c, (long)row * ldc + col, y);
          }
          continue;
        }
        UNROLL
        for (int r = 0; r < MR; ++r) UNROLL
        for (int v = 0; v < NV; ++v) sum[r * NV + v] = x[r][v];
        if (k0 + TK < k) continue;
        for (int r = 0; r < min(MR, height - i); ++r)
          for (int l = 0; l < min(NR, width - j); ++l) {
            const int row = i0 + i + r, col = j0 + j + l;
            const float y = sums[i * TN + j * MR + r * NR + l] + BIAS_AT(col) + D_AT(row, col);
            STORE(TC, c, (long)row * ldc + col, y);
          }
      }
  }
}

#else

// For GPUs: items share tiles of A and B, [TK, TM] and [TK, TN], in local memory. An item's rows are MR / 4
// times four neighbours, and so are its columns; neighbouring items read neighbouring fours.
#define ITEMS_ACROSS (TN / NR)
#define ITEMS_DOWN (TM / MR)
#define N_ITEMS (ITEMS_ACROSS * ITEMS_DOWN)
#define A_PITCH (TM + 4)
#define B_PITCH (TN + 4)

// tile[k][w] = op(from)[k0 + k][w0 + w], zeros outside; four at a time along the rows of what is stored.
#define FETCH(NAME, T, WIDTH, PITCH, BY_WIDTH)                                                             \
  FN float NAME##_at(GLOBAL const T* from, int ld, int w, int k, int n_w, int n_k) {                       \
    return w < n_w && k < n_k ? LOAD(T, from, BY_WIDTH ? (long)w * ld + k : (long)k * ld + w) : 0.0f;      \
  }                                                                                                        \
  FN void NAME(LOCAL_ARG float* tile, GLOBAL const T* from, int ld, int w0, int k0, int n_w, int n_k) {    \
    const int step_w = BY_WIDTH ? 0 : 1, step_k = BY_WIDTH ? 1 : 0;                                        \
    for (int e = 4 * (ITEM(1) * ITEMS_ACROSS + ITEM(0)); e < WIDTH * TK; e += 4 * N_ITEMS) {               \
      const int at_w = BY_WIDTH ? e / TK : e % WIDTH, at_k = BY_WIDTH ? e % TK : e / WIDTH;                \
      const int w = w0 + at_w, k = k0 + at_k;                                                              \
      float4 x;                                                                                            \
      if (ld % 4 == 0 && w + 3 * step_w < n_w && k + 3 * step_k < n_k)                                     \
        x = LOAD4(T, from, BY_WIDTH ? (long)w * ld + k : (long)k * ld + w);                                \
      else                                                                                                 \
        x = F4(NAME##_at(from, ld, w, k, n_w, n_k), NAME##_at(from, ld, w + step_w, k + step_k, n_w, n_k), \
               NAME##_at(from, ld, w + 2 * step_w, k + 2 * step_k, n_w, n_k),                              \
               NAME##_at(from, ld, w + 3 * step_w, k + 3 * step_k, n_w, n_k));                             \
      LOCAL_ARG float* to = tile + at_k * PITCH + at_w;                                                    \
      to[0] = x.x;                                                                                         \
      to[step_k * PITCH + step_w] = x.y;                                                                   \
      to[2 * (step_k * PITCH + step_w)] = x.z;                                                             \
      to[3 * (step_k * PITCH + step_w)] = x.w;                                                             \
    }                                                                                                      \
  }
FETCH(fetch_a, TA, TM, A_PITCH, !A_TRANSPOSED)
FETCH(fetch_b, TB, TN, B_PITCH, B_TRANSPOSED)

KERNEL GROUP_SIZE(ITEMS_ACROSS, ITEMS_DOWN)
    matmul_tiles(GLOBAL const TA* a, GLOBAL const TB* b, GLOBAL TC* c, GLOBAL const float* bias,
                 GLOBAL const TD* d, int has, int m, int n, int k, int lda, int ldb, int ldc, int ldd) {
  LOCAL float a_tile[TK * A_PITCH];
  LOCAL float b_tile[TK * B_PITCH];
  const int i0 = GROUP(1) * TM, j0 = GROUP(0) * TN, i1 = 4 * ITEM(1), j1 = 4 * ITEM(0);
  float x[MR][NR];
  UNROLL
  for (int r = 0; r < MR; ++r) UNROLL
  for (int v = 0; v < NR; ++v) x[r][v] = 0;
  for (int k0 = 0; k0 < k; k0 += TK) {
    fetch_a(a_tile, a, lda, i0, k0, m, k);
    fetch_b(b_tile, b, ldb, j0, k0, n, k);
    BARRIER();
    UNROLL
    for (int l = 0; l < TK; ++l) {
      float left[MR], right[NR];
      UNROLL
      for (int r = 0; r < MR; ++r) left[r] = a_tile[l * A_PITCH + r / 4 * (4 * ITEMS_DOWN) + i1 + r % 4];
      UNROLL
      for (int v = 0; v < NR; ++v) right[v] = b_tile[l * B_PITCH + v / 4 * (4 * ITEMS_ACROSS) + j1 + v % 4];
      UNROLL
      for (int r = 0; r < MR; ++r) UNROLL
      for (int v = 0; v < NR; ++v) x[r][v] = left[r] * right[v] + x[r][v];
    }
    BARRIER();
  }
  UNROLL
  for (int r = 0; r < MR; ++r) {
    const int row = i0 + r / 4 * (4 * ITEMS_DOWN) + i1 + r % 4;
    UNROLL
    for (int v = 0; v < NR; v += 4) {
      const int col = j0 + v / 4 * (4 * ITEMS_ACROSS) + j1;
      if (row >= m || col >= n) continue;
      if (ldc % 4 == 0 && ldd % 4 == 0 && col + 4 <= n) {
        float4 y = F4(x[r][v], x[r][v + 1], x[r][v + 2], x[r][v + 3]);
        if (has & HAS_BIAS) y += LOAD4(f32, bias, col);
        if (has & HAS_D) y += LOAD4(TD, d, (long)row * ldd + col);
        STORE4(TC, c, (long)row * ldc + col, y);
        continue;
      }
      UNROLL
      for (int l = 0; l < 4; ++l)
        if (col + l < n)
          STORE(TC, c, (long)row * ldc + col + l, x[r][v + l] + BIAS_AT(col + l) + D_AT(row, col + l));
    }
  }
}

#endif
