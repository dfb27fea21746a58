// Measuring training steps.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/bench_step.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "runtime/core/machine.hpp"
#include "tools/tessera/plan_report.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
StepReport measure_step(const StepShape& shape, DType dtype, const StepRun& run) {
  for (int step = 0; step < run.warmup; ++step) run.start().wait();
  run.executor.wait();
  run.executor.clear_records();
  run.executor.set_record(!run.records_disturb);
  const double step_s = seconds_of_step(run.steps, run.start);
  run.executor.wait();
  if (run.records_disturb) {
    run.executor.set_record(true);
    for (int step = 0; step < 3; ++step) run.start().wait();
    run.executor.wait();
  }

  StepReport report;
  report.shape = shape.name;
  report.dtype = dtype;
  report.step_s = step_s;
  report.tokens_per_s = static_cast<double>(shape.tokens()) / report.step_s;
  report.gflops = shape.flops() / report.step_s * 1e-9;
  report.peak_bytes = peak_resident_bytes();
  report.times = kernel_times(recording_of(run.executor));
  return report;
}

Json as_json(const StepReport& report) {
  const double steps = std::max<double>(1, static_cast<double>(report.times.steps));
  Json time = Json::object();
  for (const auto& [name, kernel] : report.times.kernels) time[name] = rounded(kernel.seconds / steps, 4);
  time["idle"] = rounded(report.times.idle() / steps, 4);
  time["engine"] = rounded(report.times.engine() / steps, 4);
  auto mib = [](int64_t bytes) { return rounded(static_cast<double>(bytes) / (1 << 20), 5); };
  return {{"shape", report.shape},
          {"dtype", name_of(report.dtype)},
          {"workers", report.times.workers.size()},
          {"step_s", rounded(report.step_s, 5)},
          {"tokens_per_s", rounded(report.tokens_per_s, 5)},
          {"gflops", rounded(report.gflops, 4)},
          {"ceiling_gflops", rounded(report.ceiling_gflops, 4)},
          {"share", rounded(report.share(), 4)},
          {"peak_mib", mib(report.peak_bytes)},
          {"predicted_mib", mib(report.predicted_bytes)},
          {"intermediate_mib", mib(report.intermediate_bytes)},
          {"activation_mib", mib(report.activation_bytes)},
          {"time", time}};
}

void print_text(const StepReport& report) {
  print_line(fmt::format(
      "{} {}: {} a step, {} tokens/s, {:.1f} GF/s = {:.1f} % of the ceiling of {:.1f}, peak {}", report.shape,
      name_of(report.dtype), seconds_text(report.step_s), count_text(report.tokens_per_s), report.gflops,
      100 * report.share(), report.ceiling_gflops, bytes_text(report.peak_bytes)));
  const double all = report.times.span * static_cast<double>(report.times.workers.size());
  Table table({"kernel", "calls a step", "time", "GF/s"});
  const auto steps = static_cast<double>(std::max<int64_t>(1, report.times.steps));
  auto percent = [&](double seconds) { return fmt::format("{:.1f} %", all > 0 ? 100 * seconds / all : 0.0); };
  std::vector<std::pair<std::string, KernelTimes::Kernel>> kernels(report.times.kernels.begin(),
                                                                   report.times.kernels.end());
  std::sort(kernels.begin(), kernels.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  for (const auto& [name, kernel] : kernels)
    table.row({name, count_text(static_cast<double>(kernel.calls) / steps), percent(kernel.seconds),
               kernel.flops > 0 ? fmt::format("{:.1f}", kernel.flops / kernel.seconds * 1e-9) : ""});
  table.row({"idle", "", percent(report.times.idle()), ""});
  table.row({"engine", "", percent(report.times.engine()), ""});
  table.print();
}

}  // namespace tessera
