// tessera info: the machine, its workers and its memories.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "runtime/core/machine.hpp"
#include "runtime/exec/engine.hpp"
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
  devices       a list of kind, name, bytes
  available_bytes  memory this process may still take
  workers       how many workers of the kinds cpu, opencl and cuda a run uses unless told otherwise
  schedulers    what run.scheduler may be
  machine       all facts as one text, as simulations take it)";

Json as_json(const Machine& machine) {
  Json caches = Json::array(), memories = Json::array(), devices = Json::array();
  for (const Machine::Cache& cache : machine.caches)
    caches.push_back({{"level", cache.level}, {"bytes", cache.bytes}, {"cores", cache.cores}});
  for (const Machine::Memory& memory : machine.memories)
    memories.push_back({{"bytes", memory.bytes}, {"cores", memory.cores}});
  for (const Machine::Device& device : machine.devices)
    devices.push_back({{"kind", device.kind}, {"name", device.name}, {"bytes", device.bytes}});
  return {{"cpu", machine.cpu},
          {"nodes", machine.nodes},
          {"packages", machine.packages},
          {"cores", machine.cores},
          {"threads", machine.threads},
          {"caches", caches},
          {"memories", memories},
          {"devices", devices},
          {"available_bytes", available_memory_bytes()},
          {"workers", {{"cpu", usable_cores()}, {"opencl", 0}, {"cuda", 0}}},
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
  for (const Machine::Device& device : machine.devices)
    table.row({device.kind, device.name + ", " + bytes_text(device.bytes)});
  table.row({"available", bytes_text(available_memory_bytes())});
  table.row({"workers", fmt::format("{} cpu", usable_cores())});
  table.row({"schedulers", fmt::format("{} and modular-*", fmt::join(plain_schedulers(), ", "))});
  table.print();
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
