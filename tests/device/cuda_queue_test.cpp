// The CUDA queue against the fake: what it calls, in which order, and what it makes of errors.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "codelets/matmul/gemm.hpp"
#include "tests/device/fake_cuda_test.hpp"

namespace tessera {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::ThrowsMessage;

using CudaQueueTest = FakeCudaTest;

const DeviceKernel gelu{"gelu", "gelu", {{"T", DType::f32}, {"EXACT", 1}}};

TEST_F(CudaQueueTest, LaunchesRunInTheOrderOfTheStreamAndNotBefore) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, {-3, 0, 0.5, 2}), y(*queue, {7, 7, 7, 7});
  queue->launch(gelu, for_each(4), x.memory, y.memory, int64_t{4});
  queue->launch(gelu, for_each(4), y.memory, x.memory, int64_t{4});
  EXPECT_EQ(fake->pending(), 2);
  EXPECT_EQ(y.here(), std::vector<float>({7, 7, 7, 7}));
  const auto by_hand = [](float v) { return v / 2 * std::erfc(-v / std::sqrt(2.0f)); };
  const std::vector<float> once = y.get(), twice = x.get();
  EXPECT_NEAR(once[0], by_hand(-3), 1e-6);
  EXPECT_NEAR(once[3], by_hand(2), 1e-6);
  EXPECT_NEAR(twice[3], by_hand(by_hand(2)), 1e-6);
}

TEST_F(CudaQueueTest, CopiesRectangles) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats from(*queue, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), to(*queue, std::vector<float>(8, -1));
  queue->copy({to.memory, 4, 16}, {from.memory, 8, 16}, 2, 8);  // [0..2, 1..3] of 2 x 4 from 3 x 4
  queue->copy({to.memory, 12, 0}, {from.memory, 40, 0}, 1, 4);
  EXPECT_EQ(to.get(), std::vector<float>({-1, 2, 3, 10, -1, 6, 7, -1}));
  queue->copy({to.memory, 0, 16}, {from.memory, 0, 16}, 2, 16);  // whole rows
  EXPECT_EQ(to.get(), std::vector<float>({0, 1, 2, 3, 4, 5, 6, 7}));
  queue->copy({to.memory, 0, 16}, {from.memory, 0, 16}, 0, 16);
  queue->copy({to.memory, 0, 16}, {from.memory, 0, 16}, 2, 0);
  EXPECT_EQ(fake->pending(), 0);
}

TEST_F(CudaQueueTest, FillsBytes) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, {1, 2, 3});
  queue->fill(x.memory, 8, 0xff);
  queue->fill(x.memory, 0, 0);
  const std::vector<float> got = x.get();
  EXPECT_TRUE(std::isnan(got[0]) && std::isnan(got[1]));
  EXPECT_EQ(got[2], 3);
}

TEST_F(CudaQueueTest, ScratchIsUsedAgainByTheNextTaskWithoutWaiting) {
  auto queue = make_cuda_queue(*fake, 0);
  const auto task = [&] {
    std::vector<void*> taken{queue->scratch<float>(100), queue->scratch<float>(1),
                             queue->scratch_bytes(5 << 20)};
    for (void* memory : taken) EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0);
    queue->fill(taken[0], 400, 1);  // as long as this, and it belongs to the memory that was asked for
    queue->fill(taken[1], 4, 2);
    queue->fill(taken[2], 5 << 20, 3);
    queue->end_task();
    return taken;
  };
  const std::vector<void*> first = task();
  EXPECT_NE(first[0], first[1]);
  fake->forget();
  EXPECT_EQ(task(), first);
  EXPECT_EQ(fake->count("cudaMalloc"), 0);
  EXPECT_EQ(fake->count("cudaStreamSynchronize"), 0);
  EXPECT_EQ(fake->pending(), 6);
  queue->finish();
  queue->task_done();
  queue->task_done();
}

TEST_F(CudaQueueTest, FaultsAreToldOfWhenTheirTaskIsOver) {
  auto queue = make_cuda_queue(*fake, 0);
  const int row = std::bit_cast<int>(11.0f), value = std::bit_cast<int>(13.0f);  // what gelu leaves as it is
  Floats x(*queue, {11, 13});
  queue->fault("nothing to tell of");
  queue->end_task();
  void* silent = queue->fault("row {row} of the first");
  void* loud = queue->fault("row {row} is {value}, beyond the table");
  EXPECT_NE(silent, loud);
  queue->launch(gelu, for_each(2), x.memory, loud, int64_t{2});
  queue->end_task();
  queue->fault("the third");
  queue->end_task();
  queue->finish();
  EXPECT_NO_THROW(queue->task_done());
  EXPECT_THAT([&] { queue->task_done(); },
              ThrowsMessage<Failure>("row " + std::to_string(row - 1) + " is " + std::to_string(value) +
                                     ", beyond the table"));
  EXPECT_NO_THROW(queue->task_done());
  for (int task = 0; task < 600; ++task) {  // slots are used again, and are empty then
    queue->fault("again");
    queue->end_task();
    EXPECT_NO_THROW(queue->task_done());
  }
  EXPECT_EQ(fake->count("cudaHostAlloc"), 1);
}

TEST_F(CudaQueueTest, NothingWaitsInATask) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, {1, 2}), y(*queue, {0, 0});
  const auto task = [&] {
    queue->launch(gelu, for_each(2), x.memory, y.memory, int64_t{2});
    queue->copy({y.memory, 0, 4}, {x.memory, 4, 4}, 1, 4);
    queue->fill(queue->scratch<float>(3), 12, 0);
    queue->fault("nothing");
    queue->library_gemm({.m = 1, .n = 1, .k = 1, .lda = 1, .ldb = 1, .ldc = 1},
                        {x.memory, x.memory, y.memory});
    queue->end_task();
  };
  task();
  queue->finish();
  queue->task_done();
  fake->forget();
  task();
  for (const char* waits : {"cudaStreamSynchronize", "cudaMalloc", "cudaFree", "cudaHostAlloc",
                            "cudaLibraryLoadData", "nvrtcCompileProgram", "cublasLtMatmulAlgoGetHeuristic"})
    EXPECT_EQ(fake->count(waits), 0) << waits;
  queue->finish();
  queue->task_done();
}

TEST_F(CudaQueueTest, EveryDeviceHasItsQueueAndItsMachineCode) {
  auto first = make_cuda_queue(*fake, 0), second = make_cuda_queue(*fake, 1);
  EXPECT_EQ(first->device_name(), "Fake 90");
  EXPECT_EQ(second->device_name(), "Fake 80");
  Floats x(*first, {9}), y(*second, {10}), x_out(*first, {0}), y_out(*second, {0});
  second->launch(gelu, for_each(1), y.memory, y_out.memory, int64_t{1});
  first->launch(gelu, for_each(1), x.memory, x_out.memory, int64_t{1});
  EXPECT_EQ(x_out.get()[0], 9);
  EXPECT_EQ(y_out.get()[0], 10);
  EXPECT_THROW(first->launch(gelu, for_each(1), y.memory, x_out.memory, int64_t{1}), Failure);
  EXPECT_THAT(fake->problems(), Not(IsEmpty()));
  fake->forget();
}

TEST_F(CudaQueueTest, WorksOnAStreamOfSomebodyElseAndLeavesItAlone) {
  cudaStream_t stream = fake->new_stream(0);
  {
    auto queue = make_cuda_queue(*fake, 0, stream);
    Floats x(*queue, {9}), y(*queue, {0});
    queue->launch(gelu, for_each(1), x.memory, y.memory, int64_t{1});
    fake->synchronize(stream);
    EXPECT_EQ(y.here()[0], 9);
  }
  EXPECT_EQ(fake->live(), "1 streams");
  EXPECT_EQ(fake->count("cudaStreamDestroy"), 0);
  fake->runtime().cudaStreamDestroy(stream);
}

TEST_F(CudaQueueTest, MachineCodeIsKeptForTheNextProcess) {
  const DeviceKernel kernel{"gelu", "gelu_backward", {{"T", DType::f32}, {"EXACT", 0}}};
  const auto compiles = [&] {
    fake->forget();
    auto queue = make_cuda_queue(*fake, 0);
    Floats x(*queue, {9}), y(*queue, {0});
    queue->launch(kernel, for_each(1), x.memory, x.memory, y.memory, int64_t{1});
    queue->finish();
    return fake->count("nvrtcCompileProgram");
  };
  compiles();
  EXPECT_EQ(compiles(), 0);
}

TEST_F(CudaQueueTest, ErrorsNameTheCallAndTheReason) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, {1}), y(*queue, {0});
  const auto launch = [&] { queue->launch(gelu, for_each(1), x.memory, y.memory, int64_t{1}); };
  fake->fail_next("cudaLaunchKernelExC", cudaErrorIllegalAddress);
  EXPECT_THAT(launch, ThrowsMessage<Failure>("CUDA: gelu does not start on Fake 90: an illegal memory access "
                                             "was encountered"));
  fake->fail_next("cudaMalloc", cudaErrorMemoryAllocation);
  EXPECT_THAT([&] { queue->allocate(64); },
              ThrowsMessage<Failure>("CUDA: cudaMalloc: the device is out of memory"));
  fake->fail_next("cudaStreamSynchronize", cudaErrorIllegalAddress);
  EXPECT_THAT(
      [&] { queue->finish(); },
      ThrowsMessage<Failure>("CUDA: cudaStreamSynchronize: an illegal memory access was encountered"));
  fake->fail_next("cudaLibraryLoadData", cudaErrorIllegalAddress);
  const auto other = [&] {
    const DeviceKernel tanh{"gelu", "gelu", {{"T", DType::f32}, {"EXACT", 0}}};
    queue->launch(tanh, for_each(1), x.memory, y.memory, int64_t{1});
  };
  EXPECT_THAT(other, ThrowsMessage<Failure>(HasSubstr("CUDA: cudaLibraryLoadData: ")));
  EXPECT_NO_THROW(other());  // a failure is no end: the next attempt starts afresh
  queue->finish();
  EXPECT_GE(fake->count("cudaGetLastError"), 4);
}

TEST_F(CudaQueueTest, WhatDoesNotCompileNamesOpKernelDeviceAndLine) {
  auto queue = make_cuda_queue(*fake, 0);
  if (!has_nvrtc()) GTEST_SKIP() << "no NVRTC";
  Floats x(*queue, {1});
  const DeviceKernel lacking{"gelu", "gelu", {{"T", DType::f32}}};  // without EXACT
  EXPECT_THAT([&] { queue->launch(lacking, for_each(1), x.memory, x.memory, int64_t{1}); },
              ThrowsMessage<CompileFailure>(AllOf(HasSubstr("gelu: kernel gelu does not compile for Fake 90"),
                                                  HasSubstr("gelu_gpu.cl("), HasSubstr("EXACT"))));
  const DeviceKernel unknown{"gelu", "gelo", {{"T", DType::f32}, {"EXACT", 1}}};
  EXPECT_THAT([&] { queue->launch(unknown, for_each(1), x.memory, x.memory, int64_t{1}); },
              ThrowsMessage<CompileFailure>("gelu: its device source has no kernel gelo"));
}

// What the fake is for: each of these would be silent or undefined on a GPU.
TEST_F(CudaQueueTest, MisuseShows) {
  auto queue = make_cuda_queue(*fake, 0);
  Floats x(*queue, {1, 2, 3}), y(*queue, {0, 0});
  void* gone = queue->allocate(8);
  queue->deallocate(gone);
  const auto refused = [&](auto call, const char* why) {
    EXPECT_THAT(call, ThrowsMessage<Failure>(HasSubstr(why)));
    EXPECT_FALSE(fake->problems().empty());
    fake->forget();
  };
  refused([&] { queue->launch(gelu, for_each(2), x.memory, y.memory); }, "takes 3 arguments, not 2");
  refused([&] { queue->launch(gelu, for_each(2), x.memory, y.memory, 2); },
          "argument 2 (n) has another size");
  refused([&] { queue->launch(gelu, for_each(2), x.memory, gone, int64_t{2}); },
          "argument 1 (y) is no device memory");
  refused([&] { queue->launch(gelu, for_each(2), x.memory, int64_t{0}, int64_t{2}); }, "is no device memory");
  refused([&] { queue->launch(gelu, {.items = {2048, 1}}, x.memory, y.memory, int64_t{2}); }, "2048 items");
  refused([&] { queue->fill(y.memory, 9, 0); }, "the target is not all device memory");
  refused([&] { queue->copy({x.memory, 0, 8}, {y.memory, 4, 8}, 1, 8); },
          "the source is not all device memory");
  refused([&] { queue->copy({x.memory, 0, 4}, {y.memory, 0, 8}, 2, 5); }, "cudaMemcpy2DAsync");
  queue->launch(gelu, for_each(3), x.memory, y.memory, int64_t{3});
  queue->finish();
  EXPECT_THAT(fake->problems(), testing::ElementsAre(HasSubstr("gelu writes beside argument 1")));
  fake->repair(y.memory);
  fake->forget();
}

}  // namespace
}  // namespace tessera
