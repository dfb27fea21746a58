// library_gemm against the fake cuBLASLt: every transpose, type and epilogue that it takes on, and what it
// refuses.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "codelets/matmul/gemm.hpp"
#include "runtime/core/f16.hpp"
#include "tests/device/fake_cuda_test.hpp"

namespace tessera {
namespace {

float value(int64_t i, int64_t stream) { return static_cast<float>((i * 37 + stream * 11) % 17 - 8) / 8; }

std::vector<std::byte> stored(const std::vector<float>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * size_of(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::f32) reinterpret_cast<float*>(bytes.data())[i] = values[i];
    if (dtype == DType::bf16) reinterpret_cast<bf16*>(bytes.data())[i] = bf16(values[i]);
    if (dtype == DType::f16) reinterpret_cast<f16*>(bytes.data())[i] = f16(values[i]);
  }
  return bytes;
}

std::vector<float> widened(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<float> values(bytes.size() / size_of(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::f32) values[i] = reinterpret_cast<const float*>(bytes.data())[i];
    if (dtype == DType::bf16) values[i] = static_cast<float>(reinterpret_cast<const bf16*>(bytes.data())[i]);
    if (dtype == DType::f16) values[i] = static_cast<float>(reinterpret_cast<const f16*>(bytes.data())[i]);
  }
  return values;
}

// A matrix of a tile wider than it: rows lie `ld` elements apart.
struct Matrix {
  DeviceQueue& queue;
  DType dtype;
  std::vector<float> here;
  void* there;

  Matrix(DeviceQueue& q, DType type, int64_t rows, int64_t ld, int64_t stream) : queue(q), dtype(type) {
    for (int64_t i = 0; i < rows * ld; ++i) here.push_back(value(i, stream));
    const std::vector<std::byte> bytes = stored(here, dtype);
    there = queue.allocate(bytes.size());
    queue.write(there, bytes.data(), bytes.size());
  }
  ~Matrix() { queue.deallocate(there); }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;

  std::vector<float> get() const {
    std::vector<std::byte> bytes(here.size() * size_of(dtype));
    queue.read(bytes.data(), there, bytes.size());
    return widened(bytes, dtype);
  }
};

double activated(double x, Activation activation) {
  if (activation == Activation::relu) return std::max(x, 0.0);
  if (activation != Activation::gelu_tanh) return x;
  return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

constexpr int64_t m = 5, n = 7, k = 6;

Gemm shape_of(DType in, DType out) {
  return {.m = m, .n = n, .k = k, .lda = k + 2, .ldb = n + 1, .ldc = n + 3, .a = in, .b = in, .c = out};
}

class CudaGemmTest : public FakeCudaTest {
 protected:
  // Runs the product and compares every element, those between the rows too.
  void expect_product(DeviceQueue& queue, Gemm shape) {
    SCOPED_TRACE(fmt::format("{}->{} {}{} accumulate {} bias {} activation {}", name_of(shape.a),
                             name_of(shape.c), shape.transpose_a ? 'T' : 'N', shape.transpose_b ? 'T' : 'N',
                             shape.accumulate, shape.bias, static_cast<int>(shape.activation)));
    if (shape.transpose_a) shape.lda = m + 4;
    if (shape.transpose_b) shape.ldb = k + 1;
    Matrix a(queue, shape.a, shape.transpose_a ? k : m, shape.lda, 1);
    Matrix b(queue, shape.b, shape.transpose_b ? n : k, shape.ldb, 2);
    Matrix c(queue, shape.c, m, shape.ldc, 3), bias(queue, DType::f32, 1, n, 4);
    ASSERT_TRUE(queue.library_gemm(
        shape, {a.there, b.there, c.there, shape.bias ? static_cast<float*>(bias.there) : nullptr}));
    queue.end_task();
    const std::vector<float> got = c.get();
    queue.task_done();
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < shape.ldc; ++j) {
        const auto at = static_cast<size_t>(i * shape.ldc + j);
        double sum = shape.accumulate || j >= n ? c.here[at] : 0;
        for (int64_t l = 0; l < k && j < n; ++l)
          sum += a.here[static_cast<size_t>(shape.transpose_a ? l * shape.lda + i : i * shape.lda + l)] *
                 b.here[static_cast<size_t>(shape.transpose_b ? j * shape.ldb + l : l * shape.ldb + j)];
        if (shape.bias && j < n) sum += bias.here[static_cast<size_t>(j)];
        if (j < n) sum = activated(sum, shape.activation);
        EXPECT_NEAR(got[at], sum, 4 * epsilon_of(shape.c) * std::max(1.0, std::abs(sum))) << i << ", " << j;
      }
  }
};

TEST_F(CudaGemmTest, EveryTransposeTypeAndEpilogue) {
  auto queue = make_cuda_queue(*fake, 0);
  for (const auto& [in, out] : {std::pair{DType::f32, DType::f32},
                                {DType::bf16, DType::bf16},
                                {DType::bf16, DType::f32},
                                {DType::f16, DType::f16},
                                {DType::f16, DType::f32}})
    for (bool transpose_a : {false, true})
      for (bool transpose_b : {false, true})
        for (bool accumulate : {false, true})
          for (bool bias : {false, true})
            for (Activation activation : {Activation::none, Activation::gelu_tanh, Activation::relu}) {
              Gemm shape = shape_of(in, out);
              shape.transpose_a = transpose_a;
              shape.transpose_b = transpose_b;
              shape.accumulate = accumulate;
              shape.bias = bias;
              shape.activation = activation;
              if (accumulate && activation != Activation::none) continue;
              expect_product(*queue, shape);
            }
}

TEST_F(CudaGemmTest, RefusesWhatTheLibraryCannotDoAndLaunchesNothing) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, std::vector<float>(100));
  const auto refused = [&](auto change) {
    Gemm shape = shape_of(DType::f32, DType::f32);
    change(shape);
    EXPECT_FALSE(queue->library_gemm(shape, {x.memory, x.memory, x.memory, static_cast<float*>(x.memory)}));
    EXPECT_EQ(fake->pending(), 0);
  };
  refused([](Gemm& shape) { shape.activation = Activation::gelu_erf; });
  refused([](Gemm& shape) { shape.activation = Activation::silu; });
  refused([](Gemm& shape) { shape.accumulate = true, shape.activation = Activation::relu; });
  refused([](Gemm& shape) { shape.a = DType::bf16; });
  refused([](Gemm& shape) { shape.a = shape.b = DType::bf16, shape.c = DType::f16; });
  refused([](Gemm& shape) { shape.c = DType::bf16; });
  refused([](Gemm& shape) { shape.k = 0; });
  fake->fail_next("cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_NOT_SUPPORTED);
  for (int time : {1, 2}) {
    refused([](Gemm& shape) { shape.bias = true; });
    EXPECT_EQ(fake->count("cublasLtMatmulAlgoGetHeuristic"), 1) << "asked again the time " << time;
  }
  Gemm empty = shape_of(DType::f32, DType::f32);
  empty.m = 0;
  EXPECT_TRUE(queue->library_gemm(empty, {x.memory, x.memory, x.memory}));
  EXPECT_EQ(fake->pending(), 0);
}

TEST_F(CudaGemmTest, TheAlgorithmIsChosenOncePerShapeAndAlignment) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats a(*queue, std::vector<float>(100, 1)), b(*queue, std::vector<float>(100, 1)),
      c(*queue, std::vector<float>(100));
  const auto run = [&](int64_t offset) {
    EXPECT_TRUE(queue->library_gemm(shape_of(DType::f32, DType::f32),
                                    {static_cast<float*>(a.memory) + offset, b.memory, c.memory}));
    queue->end_task();
    queue->finish();
    queue->task_done();
    return fake->count("cublasLtMatmulAlgoGetHeuristic");
  };
  EXPECT_EQ(run(0), 1);
  EXPECT_EQ(run(0), 1);
  EXPECT_EQ(run(1), 2);
  EXPECT_EQ(run(3), 2);  // aligned like the one before
  EXPECT_EQ(run(2), 3);
}

TEST_F(CudaGemmTest, ARecordedAlgorithmIsUsedAgain) {
  Choices recorded;
  uint64_t used = 0;
  for (int time : {1, 2}) {
    auto queue = make_cuda_queue(*fake, 0);
    queue->choices().add(recorded);
    expect_product(*queue, shape_of(DType::f32, DType::f32));
    EXPECT_EQ(fake->count("cublasLtMatmulAlgoGetHeuristic"), 1) << "asked the time " << time;
    if (time == 2) {
      EXPECT_EQ(fake->last_algorithm(), used);
    }
    used = fake->last_algorithm();
    recorded = queue->choices().all();
    ASSERT_EQ(recorded.size(), 1U);
  }
  recorded.begin()->second = "no algorithm";
  auto queue = make_cuda_queue(*fake, 0);
  queue->choices().add(recorded);
  Floats x(*queue, std::vector<float>(100));
  EXPECT_THAT(
      [&] { queue->library_gemm(shape_of(DType::f32, DType::f32), {x.memory, x.memory, x.memory}); },
      testing::ThrowsMessage<Failure>(testing::HasSubstr("the recorded algorithm of 'cublasLt 5 7 6 ")));
}

TEST_F(CudaGemmTest, TheKindNamesDeviceCompilerAndLibrary) {
  EXPECT_THAT(make_cuda_queue(*fake, 0)->numerics(),
              testing::AllOf(testing::HasSubstr("sm_90"), testing::HasSubstr("NVRTC "),
                             testing::HasSubstr("cuBLASLt 130000")));
}

TEST_F(CudaGemmTest, ErrorsNameTheCallAndTheReason) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, std::vector<float>(20));  // too few
  EXPECT_THAT([&] { queue->library_gemm(shape_of(DType::f32, DType::f32), {x.memory, x.memory, x.memory}); },
              testing::ThrowsMessage<Failure>(testing::HasSubstr(
                  "CUDA: cublasLtMatmul: cublasLtMatmul: operand A is not all device memory")));
  fake->forget();
  queue->end_task();
  queue->task_done();
}

TEST_F(CudaGemmTest, WithoutTheLibraryTheOwnKernelsDo) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, std::vector<float>(100));
  fake->fail_next("cublasLtCreate", CUBLAS_STATUS_NOT_INITIALIZED);
  for (int time : {1, 2}) {
    EXPECT_FALSE(queue->library_gemm(shape_of(DType::f32, DType::f32), {x.memory, x.memory, x.memory}));
    EXPECT_EQ(fake->count("cublasLtCreate"), 1) << "tried again the time " << time;
  }
}

}  // namespace
}  // namespace tessera
