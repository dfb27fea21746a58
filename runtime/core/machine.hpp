// The machine as plans and people see it: cores, caches and memories, found by hwloc or parsed from text.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// `nodes` computers that are all alike; everything else describes one of them. Prints and parses as words:
//
//   cpu="AMD EPYC" nodes=2 packages=1 cores=8 threads=16 l2=1MiB/1 l3=32MiB/8 numa=32GiB/4x2
//   cuda="H200"/141GiB
//
// l2=1MiB/1: each second-level cache has 1 MiB and serves one core. numa=32GiB/4x2: two memories of 32 GiB,
// each next to four cores. Numbers not given are 1, caches not given are not known.
struct Machine {
  struct Cache {
    int level = 1;
    int64_t bytes = 0;  // of one of them
    int cores = 1;      // that share one
    bool operator==(const Cache&) const = default;
  };
  struct Memory {  // a NUMA node
    int64_t bytes = 0;
    int cores = 0;
    bool operator==(const Memory&) const = default;
  };
  struct Device {
    std::string kind;  // "cuda" or "opencl"
    std::string name;
    int64_t bytes = 0;
    bool operator==(const Device&) const = default;
  };

  std::string cpu;
  int nodes = 1, packages = 1, cores = 1, threads = 1;
  std::vector<Cache> caches;  // data and unified ones, by level
  std::vector<Memory> memories;
  std::vector<Device> devices;

  static const Machine& here();  // this one, asked once
  static Machine parse(std::string_view text);
  std::string to_string() const;

  int threads_per_core() const { return threads / cores; }
  int64_t cache_per_core(int level) const;  // a core's share of the cache of that level; 0: there is none
  int64_t memory_bytes() const;

  bool operator==(const Machine&) const = default;
};

// A CPU worker as performance models name it: all that decides how fast it is.
inline std::string cpu_kind() { return "cpu " + Machine::here().cpu; }

// Cores this process may run on: as many workers as make sense.
int usable_cores();

// What this process may still take: free memory, or the limit of its control group where that is less.
int64_t available_memory_bytes();

// Resident memory of this process, in bytes: now, and at its highest.
int64_t resident_bytes();
int64_t peak_resident_bytes();

}  // namespace tessera
