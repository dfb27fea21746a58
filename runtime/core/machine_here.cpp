// This machine's facts, from hwloc and the kernel.
// SPDX-License-Identifier: Apache-2.0
#include <hwloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <memory>
#include <thread>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"

namespace tessera {
namespace {

using Topology = std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)>;

Topology load_topology() {
  hwloc_topology_t loaded = nullptr;
  if (hwloc_topology_init(&loaded) != 0) throw failure("hwloc does not start");
  Topology topology(loaded, &hwloc_topology_destroy);
  if (hwloc_topology_load(loaded) != 0) throw failure("hwloc cannot read this machine's topology");
  return topology;
}

// Words separated by single spaces; quotes would end the name when it is parsed.
std::string tidy(const char* name) {
  std::string text;
  for (const char* c = name; c && *c; ++c) {
    if (*c == '"' || (*c == ' ' && (text.empty() || text.back() == ' '))) continue;
    text += *c;
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

// A line of a file such as /proc/meminfo, as in "MemTotal:"; 0 where there is none.
int64_t bytes_in(const char* file, std::string_view wanted) {
  std::ifstream in(file);
  for (std::string key, rest; in >> key; std::getline(in, rest))
    if (int64_t kib = 0; key == wanted && in >> kib) return kib << 10;
  return 0;
}

Machine read_topology(hwloc_topology_t topology) {
  auto count = [&](hwloc_obj_type_t type) { return std::max(0, hwloc_get_nbobjs_by_type(topology, type)); };
  Machine machine;
  machine.threads = std::max(1, count(HWLOC_OBJ_PU));
  machine.cores = std::max(1, count(HWLOC_OBJ_CORE) > 0 ? count(HWLOC_OBJ_CORE) : machine.threads);
  machine.packages = std::max(1, count(HWLOC_OBJ_PACKAGE));
  auto cores_in = [&](hwloc_const_cpuset_t set) {
    const int cores = hwloc_get_nbobjs_inside_cpuset_by_type(topology, set, HWLOC_OBJ_CORE);
    return cores > 0 ? cores : hwloc_get_nbobjs_inside_cpuset_by_type(topology, set, HWLOC_OBJ_PU);
  };
  hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
  if (!package) package = hwloc_get_root_obj(topology);
  machine.cpu = tidy(hwloc_obj_get_info_by_name(package, "CPUModel"));
  for (int type = HWLOC_OBJ_L1CACHE; type <= HWLOC_OBJ_L5CACHE; ++type)
    if (hwloc_obj_t cache = hwloc_get_obj_by_type(topology, static_cast<hwloc_obj_type_t>(type), 0))
      if (cache->attr->cache.size > 0)
        machine.caches.push_back({type - HWLOC_OBJ_L1CACHE + 1, static_cast<int64_t>(cache->attr->cache.size),
                                  std::max(1, cores_in(cache->cpuset))});
  for (hwloc_obj_t node = nullptr;
       (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr;)
    if (node->attr->numanode.local_memory > 0)
      machine.memories.push_back(
          {static_cast<int64_t>(node->attr->numanode.local_memory), std::max(1, cores_in(node->cpuset))});
  // A virtual machine's node may not count memory that was plugged in later.
  if (machine.memories.size() == 1)
    machine.memories[0].bytes = std::max(machine.memories[0].bytes, bytes_in("/proc/meminfo", "MemTotal:"));
  return machine;
}

int64_t number_in(const std::string& file) {
  std::ifstream in(file);
  int64_t value = 0;
  return in >> value ? value : std::numeric_limits<int64_t>::max();  // "max", or no such limit
}

// The least limit of this process's control group and those above it, in either version of the interface.
int64_t control_group_limit() {
  int64_t limit = std::numeric_limits<int64_t>::max();
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && controllers.find("memory") == std::string::npos) continue;
    const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const std::string file = controllers.empty() ? "/memory.max" : "/memory.limit_in_bytes";
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      while (!path.empty() && path.back() == '/') path.pop_back();
      limit = std::min(limit, number_in(root + path + file));
      if (path.empty()) break;
    }
  }
  return limit;
}

}  // namespace

const Machine& Machine::here() {
  static const Machine machine = read_topology(load_topology().get());
  return machine;
}

int usable_cores() {
  const int threads = static_cast<int>(std::thread::hardware_concurrency());  // heeds taskset and cpusets
  return threads > 0 ? std::min(Machine::here().cores, threads) : Machine::here().cores;
}

int64_t available_memory_bytes() {
  const int64_t available = bytes_in("/proc/meminfo", "MemAvailable:");
  return std::min(available > 0 ? available : Machine::here().memory_bytes(), control_group_limit());
}

int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  int64_t all = 0, resident = 0;
  in >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

int64_t peak_resident_bytes() { return bytes_in("/proc/self/status", "VmHWM:"); }

}  // namespace tessera
