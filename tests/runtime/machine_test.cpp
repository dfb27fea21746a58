// Machines: found, printed and parsed.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

constexpr int64_t kib = 1024, mib = 1024 * kib, gib = 1024 * mib;

TEST(Machine, ParsesWhatItPrints) {
  const std::string text =
      "cpu=\"Some CPU 9000\" nodes=4 packages=2 cores=8 threads=16 l1=48KiB/1 l2=1MiB/1 l3=32MiB/4 "
      "numa=32GiB/4x2 cuda=\"H200\"/141GiBx2,\"A100\"/80GiB opencl=\"PoCL\"/3KiB";
  const Machine machine = Machine::parse(text);
  EXPECT_EQ(machine.cpu, "Some CPU 9000");
  EXPECT_EQ(machine.nodes, 4);
  EXPECT_EQ(machine.threads_per_core(), 2);
  EXPECT_EQ(machine.cache_per_core(2), mib);
  EXPECT_EQ(machine.cache_per_core(3), 8 * mib);
  EXPECT_EQ(machine.cache_per_core(4), 0);
  EXPECT_EQ(machine.memory_bytes(), 64 * gib);
  ASSERT_EQ(machine.devices.size(), 4u);
  EXPECT_EQ(machine.devices[2].name, "A100");
  EXPECT_EQ(machine.devices[3].kind, "opencl");
  EXPECT_EQ(machine.to_string(), text);
}

TEST(Machine, WhatIsLeftOutIsOneOrUnknown) {
  const Machine machine = Machine::parse(" l3=8MiB/4\n l2=512KiB/1\tcores=4 ");
  EXPECT_EQ(machine.threads, 4);
  EXPECT_EQ(machine.nodes, 1);
  EXPECT_EQ(machine.caches[0].level, 2) << "caches are sorted";
  EXPECT_EQ(machine.memory_bytes(), 0);
  EXPECT_EQ(Machine::parse(machine.to_string()), machine);
}

TEST(Machine, RefusesWhatItCannotRead) {
  for (const auto* text :
       {"cores", "cores=", "cores=0", "cores=-1", "cores=2x", "cores=99999999999999999999", "coers=2",
        "l6=1MiB/1", "l2=1MiB", "l2=1Mib/1", "l2=1MiB/0", "numa=1GiB/1x9999999", "cpu=EPYC", "cpu=\"EPYC",
        "cuda=\"H200\"", "cores=2 threads=3", "cores=2 l3=1MiB/4"})
    EXPECT_THROW(Machine::parse(text), Error) << text;
  try {
    Machine::parse("coers=2");
    FAIL();
  } catch (const Error& problem) {
    EXPECT_THAT(problem.what(), testing::HasSubstr("'coers'"));
    EXPECT_THAT(problem.what(), testing::HasSubstr("'cores'"));
  }
}

TEST(Machine, HereHasCoresAndMemory) {
  const Machine& machine = Machine::here();
  EXPECT_GE(machine.threads, static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_GE(machine.threads, machine.cores);
  EXPECT_GE(machine.cores, machine.packages);
  EXPECT_GT(machine.memory_bytes(), 64 * mib);
  EXPECT_EQ(Machine::parse(machine.to_string()), machine);
}

TEST(Machine, AvailableMemoryIsSomeButNotMoreThanThereIs) {
  EXPECT_GT(available_memory_bytes(), mib);
  EXPECT_LE(available_memory_bytes(), Machine::here().memory_bytes());
}

}  // namespace
}  // namespace tessera
