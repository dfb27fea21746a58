// Buffers with a copy on a device, on the fake CUDA: where values are, and what leaves a device that is full.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/device_copies.hpp"
#include "tests/device/fake_cuda_test.hpp"

namespace tessera {
namespace {

struct Told final : TaskRunner {
  std::vector<std::string> problems;
  void run(int, int, void* const*) noexcept override {}
  void finished(int, int) noexcept override {}
  void failed(const std::string& message) noexcept override { problems.push_back(message); }
};

class DeviceCopiesTest : public FakeCudaTest {
 protected:
  void SetUp() override {
    FakeCudaTest::SetUp();
    if (IsSkipped()) return;
    queue = make_cuda_queue(*fake, 0);
    copies = std::make_unique<DeviceCopies>(*queue);
    for (std::vector<int>& values : host) ids.push_back(copies->add(values.data(), bytes));
  }
  void TearDown() override {
    copies.reset();
    queue.reset();
    FakeCudaTest::TearDown();
  }

  void* on_device(int which, Mode mode) {
    const EngineAccess access{ids[static_cast<size_t>(which)], mode};
    return copies->place({&access, 1}, true, told)[0];
  }
  std::vector<int> there(void* memory) {
    std::vector<int> values(2);
    queue->read(values.data(), memory, bytes);
    return values;
  }

  static constexpr size_t bytes = 2 * sizeof(int);
  std::vector<std::vector<int>> host{{1, 2}, {3, 4}};
  std::vector<BufferId> ids;
  std::unique_ptr<DeviceQueue> queue;
  std::unique_ptr<DeviceCopies> copies;
  Told told;
};

TEST_F(DeviceCopiesTest, ValuesAreWhereTheyAreUsed) {
  void* memory = on_device(0, Mode::update);
  EXPECT_EQ(there(memory), std::vector({1, 2}));
  queue->fill(memory, bytes, 0);
  queue->finish();
  EXPECT_EQ(host[0], std::vector({1, 2})) << "nobody has asked for it here";
  copies->acquire(ids[0], Mode::update);
  EXPECT_EQ(host[0], std::vector({0, 0}));
  host[0] = {7, 8};
  EXPECT_EQ(there(on_device(0, Mode::read)), std::vector({7, 8}));
  EXPECT_EQ(copies->bytes_moved(), 3 * int64_t{bytes});
  on_device(0, Mode::read);
  on_device(1, Mode::write);
  copies->acquire(ids[0], Mode::read);
  EXPECT_EQ(copies->bytes_moved(), 3 * int64_t{bytes}) << "both had it, or it is to be overwritten";
}

TEST_F(DeviceCopiesTest, WhatATaskDoesNotNeedLeavesADeviceThatIsFull) {
  queue->fill(on_device(0, Mode::write), bytes, 0);
  fake->fail_next("cudaMalloc", cudaErrorMemoryAllocation);
  EXPECT_EQ(there(on_device(1, Mode::read)), std::vector({3, 4}));
  EXPECT_THAT(told.problems, testing::IsEmpty());
  EXPECT_EQ(host[0], std::vector({0, 0})) << "the only copy of the value was on the device";
  EXPECT_EQ(there(on_device(0, Mode::read)), std::vector({0, 0}));
}

TEST_F(DeviceCopiesTest, TheRunnerIsToldWhatGoesWrong) {
  fake->fail_next("cudaMemcpyAsync", cudaErrorInvalidValue);
  EXPECT_EQ(on_device(0, Mode::read), nullptr);
  EXPECT_THAT(told.problems, testing::ElementsAre(testing::HasSubstr("cudaMemcpyAsync")));
}

}  // namespace
}  // namespace tessera
