// tessera info: the machine, its workers and its memories.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/core/device_place.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/engine.hpp"
#include "runtime/sched/performance_model.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera info
  tessera info --json | python3 -m json.tool

JSON: one line with the keys
  cpu nodes packages cores threads   of the machine
  caches        a list of level, bytes (of one), cores (that share one)
  memories      the NUMA nodes: a list of bytes, cores (next to it)
  devices       what run.devices may name: a list of
                  device name driver bytes   "opencl:0", and what it is
                  units         cores, compute units or multiprocessors
                  matmul_gflops copy_gb_per_s   {"f32":…, "bf16":…}, of one worker, and {"to":…, "from":…} of its
                                memory; null until tessera calibrate has measured them
                  numa          the NUMA nodes it is next to, as in memories; empty where hwloc cannot tell
                  pci link_gb_per_s   its PCI address and the link there; null where it has none
  available_bytes  memory this process may still take
  workers       how many workers of the kinds cpu, opencl and cuda a run can have
  schedulers    what run.scheduler may be
  machine       all facts as one text, as simulations take it)";

struct DeviceFacts {
  std::string word, name, kind;  // "opencl:0"; and as the calibration file names its kind
  std::string driver = {}, pci = {};
  int64_t bytes = 0;
  int units = 0;
  bool is_cpu = false;
  DevicePlace place = {};
  std::optional<Peaks> peaks = {};
};

// What run.devices may name, whether or not there are drivers.
std::vector<DeviceFacts> all_devices() {
  const PerformanceModel calibration(performance_file());
  std::vector<DeviceFacts> all{{.word = "cpu",
                                .name = Machine::here().cpu,
                                .kind = cpu_kind(),
                                .bytes = Machine::here().memory_bytes(),
                                .units = usable_cores(),
                                .is_cpu = true}};
  for (const OpenclDevice& d : opencl_devices())
    all.push_back({.word = fmt::format("opencl:{}", &d - opencl_devices().data()),
                   .name = d.name,
                   .kind = d.kind(),
                   .driver = fmt::format("{} {}", d.platform, d.driver),
                   .pci = d.bus_id,
                   .bytes = d.memory_bytes,
                   .units = d.compute_units,
                   .is_cpu = d.is_cpu});
  for (const CudaDevice& d : cuda_devices())
    all.push_back({.word = fmt::format("cuda:{}", &d - cuda_devices().data()),
                   .name = d.name,
                   .kind = d.kind(),
                   .driver = fmt::format("CUDA {}", d.driver),
                   .pci = d.bus_id,
                   .bytes = d.memory_bytes,
                   .units = d.multiprocessors});
  for (DeviceFacts& device : all) {
    if (device.is_cpu || !device.pci.empty()) device.place = place_of(device.pci);
    if (const Peaks* peaks = calibration.peaks(device.kind)) device.peaks = *peaks;
  }
  return all;
}

Json as_json(const DeviceFacts& device) {
  Json matmul, copies;
  if (device.peaks) {
    matmul = {{"f32", rounded(device.peaks->f32_flops * 1e-9, 4)},
              {"bf16", rounded(device.peaks->bf16_flops * 1e-9, 4)}};
    if (device.word != "cpu")
      copies = {{"to", rounded(device.peaks->to_device_bytes * 1e-9, 4)},
                {"from", rounded(device.peaks->from_device_bytes * 1e-9, 4)}};
  }
  const bool linked = !device.pci.empty();
  return {{"device", device.word},
          {"name", device.name},
          {"driver", device.driver},
          {"bytes", device.bytes},
          {"units", device.units},
          {"matmul_gflops", matmul},
          {"copy_gb_per_s", copies},
          {"numa", device.place.numa},
          {"pci", linked ? Json(device.pci) : Json()},
          {"link_gb_per_s", linked ? Json(rounded(device.place.link_bytes_per_s * 1e-9, 4)) : Json()}};
}

void print_devices() {
  Table table({"device", "name", "driver", "memory", "f32 | bf16 matmul", "copies to | from", "place"});
  for (const DeviceFacts& device : all_devices()) {
    std::string rates = "run tessera calibrate", copies, place;
    if (device.peaks) {
      rates = fmt::format("{:.0f} | {:.0f} GF/s", device.peaks->f32_flops * 1e-9,
                          device.peaks->bf16_flops * 1e-9);
      if (device.word == "cpu") rates += " a core";
      if (device.word != "cpu")
        copies = fmt::format("{:.1f} | {:.1f} GB/s", device.peaks->to_device_bytes * 1e-9,
                             device.peaks->from_device_bytes * 1e-9);
    }
    if (!device.place.numa.empty()) place = fmt::format("NUMA {}", fmt::join(device.place.numa, ","));
    if (!device.pci.empty()) place += fmt::format("{}PCI {}", place.empty() ? "" : ", ", device.pci);
    if (device.place.link_bytes_per_s > 0)
      place += fmt::format(" ({:.1f} GB/s)", device.place.link_bytes_per_s * 1e-9);
    table.row({device.word, device.name, device.driver, bytes_text(device.bytes), rates, copies, place});
  }
  table.print();
}

Json as_json(const Machine& machine) {
  Json caches = Json::array(), memories = Json::array(), devices = Json::array();
  const std::vector<DeviceFacts> facts = all_devices();
  for (const Machine::Cache& cache : machine.caches)
    caches.push_back({{"level", cache.level}, {"bytes", cache.bytes}, {"cores", cache.cores}});
  for (const Machine::Memory& memory : machine.memories)
    memories.push_back({{"bytes", memory.bytes}, {"cores", memory.cores}});
  for (const DeviceFacts& device : facts) devices.push_back(as_json(device));
  const auto count = [&](std::string_view kind) {
    return std::ranges::count_if(facts, [&](const DeviceFacts& d) { return d.word.starts_with(kind); });
  };
  return {{"cpu", machine.cpu},
          {"nodes", machine.nodes},
          {"packages", machine.packages},
          {"cores", machine.cores},
          {"threads", machine.threads},
          {"caches", caches},
          {"memories", memories},
          {"devices", devices},
          {"available_bytes", available_memory_bytes()},
          {"workers", {{"cpu", usable_cores()}, {"opencl", count("opencl")}, {"cuda", count("cuda")}}},
          {"schedulers", scheduler_names()},
          {"machine", machine.to_string()}};
}

// Without StarPU's modular-* variants, which are many.
std::vector<std::string> plain_schedulers() {
  std::vector<std::string> names = scheduler_names();
  std::erase_if(names, [](const std::string& name) { return name.starts_with("modular-"); });
  return names;
}

void print_text(const Machine& machine) {
  Table table({"machine", machine.cpu});
  table.row({"packages", std::to_string(machine.packages)});
  table.row({"cores", machine.threads_per_core() == 1 ? std::to_string(machine.cores)
                                                      : fmt::format("{} with {} threads each", machine.cores,
                                                                    machine.threads_per_core())});
  for (const Machine::Cache& cache : machine.caches)
    table.row({fmt::format("L{}", cache.level),
               bytes_text(cache.bytes) +
                   (cache.cores == 1 ? " per core" : fmt::format(", shared by {} cores", cache.cores))});
  for (size_t i = 0; i < machine.memories.size(); ++i)
    table.row(
        {fmt::format("NUMA node {}", i),
         fmt::format("{}, {} cores", bytes_text(machine.memories[i].bytes), machine.memories[i].cores)});
  table.row({"available", bytes_text(available_memory_bytes())});
  table.row({"workers", fmt::format("{} cpu", usable_cores())});
  table.row({"schedulers", fmt::format("{} and modular-*", fmt::join(plain_schedulers(), ", "))});
  table.print();
  print_line(std::string());
  print_devices();
}

}  // namespace

void add_info(CLI::App& app) {
  CLI::App* info = app.add_subcommand("info", "The machine: packages, caches, memories, workers");
  auto json = std::make_shared<bool>(false);
  info->add_flag("--json", *json, "Print one line of JSON");
  info->footer(help);
  info->callback([json] {
    if (*json)
      print_line(as_json(Machine::here()));
    else
      print_text(Machine::here());
  });
}

}  // namespace tessera
