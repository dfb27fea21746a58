// Adding up a plan, and printing the sums.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/plan_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/exec/swap_file.hpp"

namespace tessera {
namespace {

constexpr int64_t engine_bytes = 12 << 20;  // measured: what starting the engine adds

void add_kernels(PlanReport& report, const Plan& plan) {
  std::map<std::string_view, PlanReport::Kernel> kernels;
  for (const Task& task : plan.tasks)
    for (const Stage& stage : task.stages) {
      if (!stage.kernel) continue;
      PlanReport::Kernel& kernel = kernels[stage.kernel->name];
      kernel.name = stage.kernel->name;
      kernel.flops += stage.flops;
      ++kernel.calls;
      for (const Access& access : stage.accesses)
        kernel.bytes +=
            plan.tiles[static_cast<size_t>(access.tile)].bytes() * (access.mode == Mode::update ? 2 : 1);
    }
  for (auto& [name, kernel] : kernels) report.kernels.push_back(std::move(kernel));
  std::stable_sort(report.kernels.begin(), report.kernels.end(),
                   [](const auto& a, const auto& b) { return a.flops > b.flops; });
}

}  // namespace

DType product_dtype(const Plan& plan, const Stage& stage) {
  bool bf16 = false;
  for (const Access& access : stage.accesses) {
    const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
    if (access.mode == Mode::read && tile.dtype == DType::f32 && tile.cols > 1) return DType::f32;
    bf16 = bf16 || tile.dtype == DType::bf16;
  }
  return bf16 ? DType::bf16 : DType::f32;
}

double PlanReport::bound_s() const { return std::max(area_s, critical_path_s); }
double PlanReport::parallelism() const {
  return critical_path_s > 0 ? area_s * workers / critical_path_s : static_cast<double>(workers);
}

PlanReport report_on(const Plan& plan, const Ceiling& ceiling, int workers) {
  PlanReport report;
  report.workers = workers;
  report.tasks = static_cast<int64_t>(plan.tasks.size());
  report.tiling = plan.tiling.to_string();
  report.notes = plan.notes;
  add_kernels(report, plan);
  std::vector<double> path(plan.tasks.size(), 0);
  std::vector<int64_t> chain(plan.tasks.size(), 0);
  for (size_t t = plan.tasks.size(); t-- > 0;) {
    const Task& task = plan.tasks[t];
    for (int next : task.next) {
      path[t] = std::max(path[t], path[static_cast<size_t>(next)]);
      chain[t] = std::max(chain[t], chain[static_cast<size_t>(next)]);
    }
    double seconds = 0;
    for (const Stage& stage : task.stages) {
      report.flops += stage.flops;
      seconds += stage.flops * workers / (ceiling.of(product_dtype(plan, stage)) * 1e9);
    }
    path[t] += seconds;
    report.area_s += seconds / workers;
    report.critical_path_s = std::max(report.critical_path_s, path[t]);
    report.longest_chain = std::max(report.longest_chain, ++chain[t]);
    report.dependencies += static_cast<int64_t>(task.next.size());
  }
  report.memory = memory_need(plan);
  report.process_bytes = resident_bytes() + engine_bytes;
  return report;
}

void add_limits(PlanReport& report, const Plan& plan, const RunConfig& run) {
  if (run.host_memory > 0) {
    report.host = {run.host_memory << 20, run.swap};
    report.spill = forecast_spill(plan, report.host, report.process_bytes);
    if (!run.swap.empty()) SwapFile(run.swap).reserve(report.spill->spilled);
  }
  report.device_memory = run.device_memory << 20;
  report.device_tiles = report.memory.total() - report.memory.engine;
}

void print_json(const PlanReport& report) {
  print_line(Json{{"what", "plan"},
                  {"tasks", report.tasks},
                  {"dependencies", report.dependencies},
                  {"longest_chain", report.longest_chain},
                  {"flops", report.flops},
                  {"workers", report.workers},
                  {"area_s", rounded(report.area_s, 4)},
                  {"critical_path_s", rounded(report.critical_path_s, 4)},
                  {"bound_s", rounded(report.bound_s(), 4)},
                  {"parallelism", rounded(report.parallelism(), 4)},
                  {"intermediate_bytes", report.memory.intermediate},
                  {"variable_bytes", report.memory.variables},
                  {"transfer_bytes", report.memory.transfers},
                  {"process_bytes", report.process_bytes + report.memory.engine},
                  {"peak_bytes", report.peak_bytes()},
                  {"tiling", report.tiling}});
  for (const PlanReport::Kernel& kernel : report.kernels)
    print_line(Json{{"what", "kernel"},
                    {"kernel", kernel.name},
                    {"calls", kernel.calls},
                    {"flops", kernel.flops},
                    {"bytes", kernel.bytes}});
  if (const auto& spill = report.spill)
    print_line(Json{{"what", "host_memory"},
                    {"limit_bytes", report.host.bytes},
                    {"process_bytes", spill->process},
                    {"held_bytes", spill->held},
                    {"spilled_bytes", spill->spilled},
                    {"swap", report.host.swap},
                    {"read_bytes", spill->read},
                    {"written_bytes", spill->written}});
  if (report.device_memory > 0)
    print_line(Json{{"what", "device_memory"},
                    {"limit_bytes", report.device_memory},
                    {"tile_bytes", report.device_tiles}});
  for (const std::string& note : report.notes) print_line(Json{{"what", "note"}, {"text", note}});
}

void print_text(const PlanReport& report) {
  Table kernels({"kernel", "calls", "flops", "share", "bytes"});
  for (const PlanReport::Kernel& kernel : report.kernels)
    kernels.row({kernel.name, std::to_string(kernel.calls), count_text(kernel.flops),
                 fmt::format("{:.1f} %", report.flops > 0 ? 100 * kernel.flops / report.flops : 0.0),
                 bytes_text(kernel.bytes)});
  kernels.print();
  print_line(std::string());
  Table sums({"tasks", fmt::format("{}, {} dependencies, the longest chain has {}", report.tasks,
                                   report.dependencies, report.longest_chain)});
  sums.row({"tiling", report.tiling.empty() ? "nothing is cut" : report.tiling});
  sums.row({"parallelism", fmt::format("{:.1f}", report.parallelism())});
  sums.row({"lower bound", fmt::format("{} a step: work {}, critical path {}, at the ceiling of {} workers",
                                       seconds_text(report.bound_s()), seconds_text(report.area_s),
                                       seconds_text(report.critical_path_s), report.workers)});
  sums.row(
      {"peak memory", fmt::format("{}: variables {}, intermediate {}, inputs and results {}, process {}",
                                  bytes_text(report.peak_bytes()), bytes_text(report.memory.variables),
                                  bytes_text(report.memory.intermediate), bytes_text(report.memory.transfers),
                                  bytes_text(report.process_bytes + report.memory.engine))});
  if (const auto& spill = report.spill)
    sums.row(
        {"host memory",
         spill->spilled == 0
             ? fmt::format("all fits into {}", bytes_text(report.host.bytes))
             : fmt::format("of {}, the process takes {} and tiles {}; {} of tiles go to {}: a step reads {} "
                           "and writes {} there",
                           bytes_text(report.host.bytes), bytes_text(spill->process), bytes_text(spill->held),
                           bytes_text(spill->spilled), report.host.swap, bytes_text(spill->read),
                           bytes_text(spill->written))});
  if (report.device_memory > 0)
    sums.row({"device memory",
              report.device_tiles <= report.device_memory
                  ? fmt::format("all tiles fit into {}", bytes_text(report.device_memory))
                  : fmt::format("{} of {} of tiles; a device gives the rest back to main memory",
                                bytes_text(report.device_memory), bytes_text(report.device_tiles))});
  for (const std::string& note : report.notes) sums.row({"note", note});
  sums.print();
}

std::string dot(const Plan& plan) {
  constexpr size_t most = 2000;
  if (plan.tasks.size() > most)
    throw error(
        "--dot: a drawing of {} tasks cannot be read; take a smaller model or larger tiles (at most {} "
        "tasks)",
        plan.tasks.size(), most);
  std::string text = "digraph plan {\n  node [shape=box];\n";
  for (size_t t = 0; t < plan.tasks.size(); ++t) {
    const Task& task = plan.tasks[t];
    std::string label;
    for (const Stage& stage : task.stages) label += (label.empty() ? "" : "\n") + stage.label;
    text += fmt::format("  t{} [label={}];\n", t, nlohmann::json(label).dump());
    for (int next : task.next) text += fmt::format("  t{} -> t{};\n", t, next);
    for (int next : task.next_step)
      text += fmt::format("  t{} -> t{} [style=dashed, constraint=false];\n", t, next);
  }
  return text + "}\n";
}

}  // namespace tessera
