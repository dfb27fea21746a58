// Products of strided matrices against a naive sum.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "codelets/matmul/gemm.hpp"

namespace tessera::testing_products {

// A matrix whose rows are longer than what is used of them, by an odd or an even number, in storage that
// nothing beside may touch.
struct Matrix {
  Matrix(int64_t rows, int64_t cols, DType type, std::mt19937& random)
      : ld(cols + (cols % 4 == 0 ? 4 : 3)), dtype(type) {
    bytes.resize(static_cast<size_t>(rows * ld) * size_of(type));
    std::uniform_real_distribution<float> values(-1, 1);
    for (int64_t i = 0; i < rows * ld; ++i) {
      if (type == DType::f32)
        reinterpret_cast<float*>(bytes.data())[i] = values(random);
      else
        reinterpret_cast<bf16*>(bytes.data())[i] = bf16(values(random));
    }
  }
  double at(int64_t row, int64_t col) const {
    const int64_t i = row * ld + col;
    return dtype == DType::f32 ? reinterpret_cast<const float*>(bytes.data())[i]
                               : static_cast<float>(reinterpret_cast<const bf16*>(bytes.data())[i]);
  }

  int64_t ld;
  DType dtype;
  std::vector<std::byte> bytes;
};

// `product` is called as gemm is, with random factors and leading dimensions.
template <class Product>
void check(Gemm g, const std::string& what, Product product) {
  std::mt19937 random(7);
  const Matrix a(g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k, g.a, random);
  const Matrix b(g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n, g.b, random);
  const Matrix before(g.m, g.n, g.c, random);
  Matrix c = before;
  std::vector<float> bias(static_cast<size_t>(g.n));
  for (float& x : bias) x = std::uniform_real_distribution<float>(-1, 1)(random);
  g.lda = a.ld, g.ldb = b.ld, g.ldc = c.ld;
  product(g,
          GemmOperands{.a = a.bytes.data(), .b = b.bytes.data(), .c = c.bytes.data(), .bias = bias.data()});

  const double eps = g.c == DType::f32 ? 0x1p-23 : 0x1p-8;
  for (int64_t i = 0; i < g.m; ++i)
    for (int64_t j = 0; j < c.ld; ++j) {
      if (j >= g.n) {
        ASSERT_EQ(c.at(i, j), before.at(i, j)) << what << ": wrote beside row " << i;
        continue;
      }
      double sum = (g.accumulate ? before.at(i, j) : 0) + (g.bias ? bias[static_cast<size_t>(j)] : 0);
      for (int64_t k = 0; k < g.k; ++k)
        sum += (g.transpose_a ? a.at(k, i) : a.at(i, k)) * (g.transpose_b ? b.at(j, k) : b.at(k, j));
      ASSERT_NEAR(c.at(i, j), sum,
                  2 * eps * std::sqrt(static_cast<double>(g.k)) * std::max(4.0, std::abs(sum)))
          << what << ": row " << i << ", column " << j;
    }
}

}  // namespace tessera::testing_products
