// Products on the matrix units of NVIDIA GPUs, sm_80 and later: the last part of the head of sources with
// -DMATRIX_UNITS, which are for CUDA alone.
// SPDX-License-Identifier: Apache-2.0
//
// A warp of 32 items multiplies blocks of 16 rows of T (bf16 or f16) and sums in float. An item holds
// fragments, as PTX's mma.m16n8k16 deals them: with g = lane / 4 and t = lane % 4, of every 16 × 16 block of
// A the rows g and g + 8 in the columns 2t, 2t + 1, 2t + 8 and 2t + 9 (uint4); of every 16 × 8 block of sums
// the same rows in the columns 2t and 2t + 1 (float4). Matrices in local memory are bits of T, their rows
// `step` elements apart. All items of a warp must call these functions together.
#ifdef MATRIX_UNITS

#define LANE (ITEM(0) & 31)
#define WARP (ITEM(0) >> 5)
#define PACK2(T, low, high) PASTE(pack2, T)(low, high)  // two floats as the bits of two T

FN uint shared_address(const void* p) { return (uint)__cvta_generic_to_shared(p); }

// Eight elements from global to local memory, or zeros; under way until all_copied(), and a barrier.
FN void copy8(ushort* to, const ushort* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}
FN void all_copied() { asm volatile("cp.async.wait_all;" ::: "memory"); }
FN float4 load4_local(const float* p) { return *(const float4*)p; }
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
                 bool b_by_depth) {
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

FN bool all_of_warp(bool x) { return __all_sync(0xffffffffu, x); }
FN bool any_of_warp(bool x) { return __any_sync(0xffffffffu, x); }
FN int max_of_warp(int x) { return __reduce_max_sync(0xffffffffu, x); }
// Over neighbours in a warp, a power of two of them.
FN float neighbours_sum(float x, int n) {
  UNROLL for (int step = n / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}
FN void quad_max(float* x, int n) {
  UNROLL for (int i = 0; i < n; ++i) {
    x[i] = fmaxf(x[i], __shfl_xor_sync(0xffffffffu, x[i], 1));
    x[i] = fmaxf(x[i], __shfl_xor_sync(0xffffffffu, x[i], 2));
  }
}
FN void quad_sum(float* x, int n) {
  UNROLL for (int i = 0; i < n; ++i) {
    x[i] += __shfl_xor_sync(0xffffffffu, x[i], 1);
    x[i] += __shfl_xor_sync(0xffffffffu, x[i], 2);
  }
}

// sums [16 blocks, cols] += A [16 blocks, 16 depth] · B, whose rows are its columns: [cols][16 depth].
#define MULTIPLY_BY_ROWS(sums, a, blocks, depth, b, step, cols) \
  multiply(sums, a, blocks, depth, b, step, cols, false)
// The same for B as it is: [16 depth][cols].
#define MULTIPLY(sums, a, blocks, depth, b, step, cols) multiply(sums, a, blocks, depth, b, step, cols, true)

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
