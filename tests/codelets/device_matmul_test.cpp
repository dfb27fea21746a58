// The device's matrix product in all its sizes against a naive one, and the file of tuned sizes.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "codelets/matmul/matmul_gpu.hpp"
#include "runtime/core/f16.hpp"
#include "runtime/core/file.hpp"
#include "runtime/device/opencl.hpp"

namespace tessera {
namespace {

struct Size {
  int64_t m, n, k;
};

std::vector<float> numbers(int64_t count, int seed) {
  std::vector<float> list;
  for (int64_t i = 0; i < count; ++i) list.push_back(static_cast<float>((i * 37 + seed * 11) % 23 - 11) / 8);
  return list;
}

template <class T>
std::vector<std::byte> as_bytes(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) reinterpret_cast<T*>(bytes.data())[i] = T(values[i]);
  return bytes;
}

std::vector<std::byte> stored(const std::vector<float>& values, DType dtype) {
  if (dtype == DType::bf16) return as_bytes<bf16>(values);
  return dtype == DType::f16 ? as_bytes<f16>(values) : as_bytes<float>(values);
}

std::unique_ptr<DeviceQueue> test_queue() {
  const char* index = std::getenv("TESSERA_TEST_OPENCL");
  return make_opencl_queue(index ? std::atoi(index) : 0);
}

std::vector<MatmulSizes> all_sizes() {
  constexpr int64_t plenty = int64_t{1} << 30;
  std::vector<MatmulSizes> all = matmul_sizes({.is_cpu = true, .local_bytes = plenty});
  for (const MatmulSizes& sizes : matmul_sizes({.is_cpu = false, .local_bytes = plenty}))
    all.push_back(sizes);
  return all;
}

// Parameters print as their sizes.
class DeviceMatmulTest : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
    queue_ = test_queue();
    if (sizes().local_bytes() > queue_->traits().local_bytes)
      GTEST_SKIP() << "more local memory than this device has";
  }
  MatmulSizes sizes() const { return all_sizes()[GetParam()]; }

  void* upload(const std::vector<std::byte>& bytes) {
    void* memory = queue_->allocate(bytes.size());
    queue_->write(memory, bytes.data(), bytes.size());
    return memory;
  }

  // C of f32, so that its bits can be compared.
  std::vector<float> product(const Size& size, int transposes, DType dtype, const MatmulSizes& with) {
    const auto [m, n, k] = size;
    const bool ta = transposes & 1, tb = transposes & 2;
    void *a = upload(stored(numbers(m * k, 1), dtype)), *b = upload(stored(numbers(k * n, 2), dtype)),
         *bias = upload(stored(numbers(n, 3), DType::f32)), *d = upload(stored(numbers(m * n, 4), dtype)),
         *c = queue_->allocate(static_cast<size_t>(m * n) * sizeof(float));
    queue_->fill(c, m * n * static_cast<int64_t>(sizeof(float)), 0xff);
    const Gemm shape{.m = m,
                     .n = n,
                     .k = k,
                     .lda = ta ? m : k,
                     .ldb = tb ? k : n,
                     .ldc = n,
                     .transpose_a = ta,
                     .transpose_b = tb,
                     .a = dtype,
                     .b = dtype,
                     .bias = true};
    device_matmul(*queue_, shape, {a, b, c, static_cast<const float*>(bias)}, {d, dtype, n}, with);
    queue_->end_task();
    std::vector<float> values(static_cast<size_t>(m * n));
    queue_->read(values.data(), c, values.size() * sizeof(float));
    for (void* memory : {a, b, bias, d, c}) queue_->deallocate(memory);
    return values;
  }

  // The numbers are multiples of 1/8, exact in all storage types, and so are their sums.
  void expect_product(const Size& size, int transposes, DType dtype) {
    const auto [m, n, k] = size;
    const std::vector<float> c = product(size, transposes, dtype, sizes());
    const std::vector<float> a = numbers(m * k, 1), b = numbers(k * n, 2), bias = numbers(n, 3),
                             d = numbers(m * n, 4);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = bias[static_cast<size_t>(j)] + d[static_cast<size_t>(i * n + j)];
        for (int64_t l = 0; l < k; ++l)
          sum += static_cast<double>(a[static_cast<size_t>(transposes & 1 ? l * m + i : i * k + l)]) *
                 b[static_cast<size_t>(transposes & 2 ? j * k + l : l * n + j)];
        ASSERT_EQ(c[static_cast<size_t>(i * n + j)], sum)
            << m << " x " << n << " x " << k << ", transposes " << transposes << ", " << name_of(dtype)
            << ", element " << i << ", " << j;
      }
  }

  std::unique_ptr<DeviceQueue> queue_;
};

// Around the blocks; the sizes take transposes and types in turn, since every combination is compiled anew.
TEST_P(DeviceMatmulTest, MatchesTheNaiveOne) {
  constexpr DType types[] = {DType::f32, DType::bf16, DType::f16};
  for (const Size& size : {Size{1, 1, 1}, Size{64, 64, 128}, Size{65, 63, 129}, Size{7, 130, 5},
                           Size{128, 96, 300}, Size{150, 260, 257}})
    expect_product(size, static_cast<int>(GetParam() % 4), types[GetParam() % 3]);
}

INSTANTIATE_TEST_SUITE_P(Sizes, DeviceMatmulTest, testing::Range<size_t>(0, all_sizes().size()),
                         [](const auto& which) {
                           const MatmulSizes s = all_sizes()[which.param];
                           return fmt::format("{}x{}x{}_by_{}x{}", s.tm, s.tn, s.tk, s.mr, s.nr);
                         });

class TunedMatmulTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("tessera_tuned_{}", getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path file() const { return folder_ / "matmul.jsonl"; }
  std::filesystem::path folder_;
};

TEST_F(TunedMatmulTest, AFileKeepsOneLinePerDeviceAndType) {
  const std::vector<MatmulSizes> all = all_sizes();
  EXPECT_TRUE(read_tuned_matmul(file()).empty());
  keep_tuned_matmul(file(), {"one", DType::f32, all[0]});
  keep_tuned_matmul(file(), {"one", DType::bf16, all[1]});
  keep_tuned_matmul(file(), {"two \"quoted\"", DType::f32, all[2]});
  keep_tuned_matmul(file(), {"one", DType::f32, all[3]});
  const std::vector<TunedMatmul> kept = read_tuned_matmul(file());
  ASSERT_EQ(kept.size(), 3u);
  EXPECT_EQ(kept[0].sizes, all[1]);
  EXPECT_EQ(kept[1].device, "two \"quoted\"");
  EXPECT_EQ(kept[2].sizes, all[3]);
}

TEST_F(TunedMatmulTest, ACorruptFileIsIgnoredAndWrittenAnew) {
  const std::vector<MatmulSizes> all = all_sizes();
  for (const char* text : {"{\"device\":\"one\"", "[]\n", "\x01\x02", R"({"device":"one","dtype":"f32"})",
                           R"({"device":"one","dtype":"f32","tm":7,"tn":7,"tk":7,"mr":7,"nr":7})",
                           R"({"device":"one","dtype":"f99","tm":64,"tn":64,"tk":16,"mr":4,"nr":4})"}) {
    write_file(file(), text);
    testing::internal::CaptureStdout();
    EXPECT_TRUE(read_tuned_matmul(file()).empty()) << text;
    EXPECT_NE(testing::internal::GetCapturedStdout().find("matmul.jsonl"), std::string::npos) << text;
    keep_tuned_matmul(file(), {"one", DType::f32, all[0]});
    EXPECT_EQ(read_tuned_matmul(file()).size(), 1u) << text;
  }
}

TEST_F(TunedMatmulTest, TheBestSizesAreUsedFromThenOn) {
  if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
  const char* before = std::getenv("TESSERA_CACHE");
  const std::string kept = before ? before : "";
  setenv("TESSERA_CACHE", folder_.c_str(), 1);
  const auto queue = test_queue();
  double last = 0;
  const MatmulSizes best = tune_matmul(*queue, DType::f16, [&](double share) {
    EXPECT_GT(share, last);
    last = share;
  });
  EXPECT_EQ(last, 1);
  EXPECT_EQ(tuned_matmul(*queue, DType::f16), best);
  const std::vector<TunedMatmul> written = read_tuned_matmul(file());
  ASSERT_EQ(written.size(), 1u);
  EXPECT_EQ(written[0].device, queue->device_name());
  EXPECT_EQ(written[0].sizes, best);
  before ? setenv("TESSERA_CACHE", kept.c_str(), 1) : unsetenv("TESSERA_CACHE");
}

TEST(MatmulSizesTest, RecordedOnesAreUsed) {
  if (opencl_devices().empty()) GTEST_SKIP() << "no OpenCL device";
  const std::vector<MatmulSizes> all = matmul_sizes(test_queue()->traits());
  const auto text = [](const MatmulSizes& s) {
    return fmt::format("{} {} {} {} {}", s.tm, s.tn, s.tk, s.mr, s.nr);
  };
  for (const MatmulSizes& sizes : all) {
    const auto queue = test_queue();
    queue->choices().add({{"matmul bf16", text(sizes)}});
    EXPECT_EQ(tuned_matmul(*queue, DType::bf16), sizes);
    EXPECT_EQ(queue->choices().all().at("matmul f32"), text(tuned_matmul(*queue, DType::f32)));
  }
  const auto queue = test_queue();
  queue->choices().add({{"matmul f32", "1 2 3 4 5"}});
  EXPECT_THROW(tuned_matmul(*queue, DType::f32), Failure);
}

TEST(MatmulSizesTest, FitTheDevice) {
  for (const int64_t bytes : {16 << 10, 32 << 10, 256 << 10})
    for (const bool is_cpu : {false, true})
      for (const MatmulSizes& sizes : matmul_sizes({.is_cpu = is_cpu, .local_bytes = bytes}))
        EXPECT_LE(sizes.local_bytes(), bytes);
  EXPECT_TRUE(matmul_sizes({.is_cpu = true, .local_bytes = 32 << 10}).front().panels());
  EXPECT_FALSE(matmul_sizes({.is_cpu = false, .local_bytes = 32 << 10}).front().panels());
}

}  // namespace
}  // namespace tessera
