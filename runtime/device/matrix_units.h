// Products on the matrix units of NVIDIA GPUs: the third part of the head of sources with -DMATRIX_UNITS.
// SPDX-License-Identifier: Apache-2.0
//
// A warp of 32 items multiplies blocks of 16 rows of T (bf16 or f16) and sums in float. An item holds
// fragments, as PTX's mma.m16n8k16 deals them: with g = lane / 4 and t = lane % 4, of every 16 × 16 block of
// A the rows g and g + 8 in the columns 2t, 2t + 1, 2t + 8 and 2t + 9 (uint4); of every 16 × 8 block of sums
// the same rows in the columns 2t and 2t + 1 (float4). Matrices in local memory are bits of T, their rows
// `step` elements apart. Every function here must be called by all items of a group.
//
// Without matrix units the items hand each other what they hold through `exchange`: slow, but the same
// kernels.
#ifdef MATRIX_UNITS

#define LANE (ITEM(0) & 31)
#define WARP (ITEM(0) >> 5)
#define PACK2(T, low, high) PASTE(pack2, T)(low, high)  // two floats as the bits of two T

#ifdef __OPENCL_VERSION__

FN uint pack2_bf16(float low, float high) { return float_to_bf16(low) | (uint)float_to_bf16(high) << 16; }
FN uint pack2_f16(float low, float high) { return float_to_half(low) | (uint)float_to_half(high) << 16; }
#define float_of_bf16 bf16_to_float
#define float_of_f16 half_to_float
#define OF_BITS(T, bits) PASTE(float_of, T)(bits)

// Bits change hands as ushort alone: compilers take other types not to be in the same memory.
#define EXCHANGE(n) (n)

FN float exp2_fast(float x) { return exp2(x); }

// Eight elements to local memory, or zeros. Copies may go on until all_copied().
FN void copy8(LOCAL_ARG ushort* to, GLOBAL const ushort* from, bool there) {
  vstore8(there ? vload8(0, from) : (ushort8)(0), 0, to);
}
FN void all_copied() {}
FN void store8_bits(GLOBAL ushort* to, LOCAL_ARG const ushort* from) { vstore8(vload8(0, from), 0, to); }

FN uint load2_local(LOCAL_ARG const ushort* p) { return as_uint(vload2(0, p)); }
FN void store2_local(LOCAL_ARG ushort* p, uint bits) { vstore2(as_ushort2(bits), 0, p); }

FN uint4 fragment(LOCAL_ARG const ushort* rows, int step) {
  LOCAL_ARG const ushort* at = rows + LANE / 4 * step + LANE % 4 * 2;
  return (uint4)(load2_local(at), load2_local(at + 8 * step), load2_local(at + 8),
                 load2_local(at + 8 * step + 8));
}

FN void multiply(float4* sums, const uint4* a, int blocks, int depth, LOCAL_ARG const ushort* b, int step,
                 int cols, bool b_by_depth, LOCAL_ARG ushort* exchange) {
  const int row = LANE / 4, pair = LANE % 4, width = 16 * depth;
  LOCAL_ARG ushort* mine = exchange + WARP * blocks * 16 * width;
  for (int m = 0; m < blocks; ++m)
    for (int k = 0; k < depth; ++k) {
      LOCAL_ARG ushort* to = mine + (16 * m + row) * width + 16 * k + 2 * pair;
      store2_local(to, a[m * depth + k].x);
      store2_local(to + 8 * width, a[m * depth + k].y);
      store2_local(to + 8, a[m * depth + k].z);
      store2_local(to + 8 * width + 8, a[m * depth + k].w);
    }
  BARRIER();
  for (int m = 0; m < blocks; ++m)
    for (int c = 0; c < cols / 8; ++c) {
      float4 sum = sums[m * (cols / 8) + c];
      const int col = 8 * c + 2 * pair;
      LOCAL_ARG const ushort *low = mine + (16 * m + row) * width, *high = low + 8 * width;
      for (int k = 0; k < width; ++k) {
        const float x = OF_BITS(T, b_by_depth ? b[k * step + col] : b[col * step + k]),
                    y = OF_BITS(T, b_by_depth ? b[k * step + col + 1] : b[(col + 1) * step + k]);
        sum += (float4)(OF_BITS(T, low[k]) * x, OF_BITS(T, low[k]) * y, OF_BITS(T, high[k]) * x,
                        OF_BITS(T, high[k]) * y);
      }
      sums[m * (cols / 8) + c] = sum;
    }
  BARRIER();
}

// x[i] of the items of a quad, combined.
#define QUAD(x, n, combined)                                                                            \
  for (int i = 0; i < (n); ++i) store2_local(exchange + 2 * (i * ITEMS(0) + ITEM(0)), as_uint((x)[i])); \
  BARRIER();                                                                                            \
  for (int i = 0; i < (n); ++i) {                                                                       \
    LOCAL_ARG const ushort* quad = exchange + 2 * (i * ITEMS(0) + (ITEM(0) & ~3));                      \
    const float q0 = as_float(load2_local(quad)), q1 = as_float(load2_local(quad + 2)),                 \
                q2 = as_float(load2_local(quad + 4)), q3 = as_float(load2_local(quad + 6));             \
    (x)[i] = combined;                                                                                  \
  }                                                                                                     \
  BARRIER();
FN void quad_max(float* x, int n, LOCAL_ARG ushort* exchange){QUAD(x, n, fmax(fmax(q0, q1), fmax(q2, q3)))} FN
    void quad_sum(float* x, int n, LOCAL_ARG ushort* exchange){QUAD(x, n, (q0 + q1) + (q2 + q3))}
#else

#define EXCHANGE(n) 1

FN float exp2_fast(float x) {  // to 2 ulp
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

FN uint shared_address(const void* p) { return (uint)__cvta_generic_to_shared(p); }

FN void copy8(ushort* to, const ushort* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}
FN void all_copied() { asm volatile("cp.async.wait_all;" ::: "memory"); }
FN void store2_local(ushort* p, uint bits) { *(uint*)p = bits; }
FN void store8_bits(ushort* to, const ushort* from) { *(uint4*)to = *(const uint4*)from; }

// Four matrices of 8 × 8; a lane gives the address of one of their rows.
FN uint4 load_matrices(const ushort* row) {
  uint4 x;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "r"(shared_address(row)));
  return x;
}
FN uint4 load_transposed(const ushort* row) {
  uint4 x;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "r"(shared_address(row)));
  return x;
}

FN uint4 fragment(const ushort* rows, int step) {
  return load_matrices(rows + (LANE & 15) * step + (LANE >> 4) * 8);
}

#define MMA(type)                                                            \
  asm("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                 \
      ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
      : "+f"(sum->x), "+f"(sum->y), "+f"(sum->z), "+f"(sum->w)               \
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1))
FN void mma_bf16(float4* sum, uint4 a, uint b0, uint b1) { MMA("bf16"); }
FN void mma_f16(float4* sum, uint4 a, uint b0, uint b1) { MMA("f16"); }

FN void multiply(float4* sums, const uint4* a, int blocks, int depth, const ushort* b, int step, int cols,
                 bool b_by_depth, ushort*) {
  const int low = LANE & 7, middle = LANE >> 3 & 1, high = LANE >> 4;
  const ushort* row =
      b_by_depth ? b + (low + 8 * middle) * step + 8 * high : b + (low + 8 * high) * step + 8 * middle;
  UNROLL for (int k = 0; k < depth; ++k) {
    UNROLL for (int c = 0; c < cols / 16; ++c) {
      const uint4 y = b_by_depth ? load_transposed(row + 16 * k * step + 16 * c)
                                 : load_matrices(row + 16 * c * step + 16 * k);
      UNROLL for (int m = 0; m < blocks; ++m) {
        float4* sum = sums + m * (cols / 8) + 2 * c;
        PASTE(mma, T)(sum, a[m * depth + k], y.x, y.y);
        PASTE(mma, T)(sum + 1, a[m * depth + k], y.z, y.w);
      }
    }
  }
}

FN void quad_max(float* x, int n, ushort*) {
  UNROLL for (int i = 0; i < n; ++i) {
    x[i] = fmaxf(x[i], __shfl_xor_sync(0xffffffffu, x[i], 1));
    x[i] = fmaxf(x[i], __shfl_xor_sync(0xffffffffu, x[i], 2));
  }
}
FN void quad_sum(float* x, int n, ushort*) {
  UNROLL for (int i = 0; i < n; ++i) {
    x[i] += __shfl_xor_sync(0xffffffffu, x[i], 1);
    x[i] += __shfl_xor_sync(0xffffffffu, x[i], 2);
  }
}

#endif

// sums [16 blocks, cols] += A [16 blocks, 16 depth] · B, whose rows are its columns: [cols][16 depth].
#define MULTIPLY_BY_ROWS(sums, a, blocks, depth, b, step, cols) \
  multiply(sums, a, blocks, depth, b, step, cols, false, exchange)
// The same for B as it is: [16 depth][cols].
#define MULTIPLY(sums, a, blocks, depth, b, step, cols) \
  multiply(sums, a, blocks, depth, b, step, cols, true, exchange)

// Sums as the next product's A: two blocks of eight columns are one of sixteen.
FN uint4 sums_as_fragment(const float4* sums) {
  uint4 a;
  a.x = PACK2(T, sums[0].x, sums[0].y);
  a.y = PACK2(T, sums[0].z, sums[0].w);
  a.z = PACK2(T, sums[1].x, sums[1].y);
  a.w = PACK2(T, sums[1].z, sums[1].w);
  return a;
}

#endif
