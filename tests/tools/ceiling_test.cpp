// The ceiling: measured once, kept, and measured again where what was kept is not to be trusted.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/ceiling.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "runtime/core/file.hpp"

namespace tessera {
namespace {

class CeilingTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("tessera_ceiling_" + std::to_string(getpid()));
  const std::filesystem::path file_ = folder_ / "cache" / "ceiling.json";
};

TEST_F(CeilingTest, IsMeasuredOnce) {
  const Ceiling first = cached_ceiling(1, file_);
  EXPECT_GT(first.f32, 0);
  EXPECT_GT(first.bf16, 0);
  EXPECT_EQ(first.of(DType::bf16), first.bf16);
  const std::string kept = read_file(file_);
  const Ceiling second = cached_ceiling(1, file_);
  EXPECT_EQ(second.f32, first.f32);
  EXPECT_EQ(second.bf16, first.bf16);
  EXPECT_EQ(read_file(file_), kept);
}

TEST_F(CeilingTest, DamagedFilesAreReplaced) {
  std::filesystem::create_directories(file_.parent_path());
  write_file(file_, "[1, 2");
  EXPECT_GT(cached_ceiling(1, file_).f32, 0);
  EXPECT_NE(read_file(file_), "[1, 2");
}

TEST_F(CeilingTest, NeedsNoFileAtAll) {
  EXPECT_GT(cached_ceiling(1, "/proc/nowhere/ceiling.json").f32, 0);
  EXPECT_GT(cached_ceiling(1, {}).f32, 0);
}

TEST(Ceiling, IsTheBestSizeOfEachDtype) {
  const Ceiling ceiling = ceiling_of({{DType::f32, 128, 3}, {DType::bf16, 128, 7}, {DType::f32, 256, 5}});
  EXPECT_EQ(ceiling.f32, 5);
  EXPECT_EQ(ceiling.bf16, 7);
}

}  // namespace
}  // namespace tessera
