// tessera bench mixed: what a device adds to CPU workers, the two measured in turn.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "models/train/plans.hpp"
#include "runtime/core/devices.hpp"
#include "tools/tessera/bench_step.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/shapes.hpp"
#include "tools/tessera/step_model.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string shape = "gpt30m", dtype = "f32", devices = "cpu:1,opencl:0", scheduler = "affinity",
              tiling = "auto";
  int rounds = 5, steps = 2;
  bool json = false;
};

struct Measured {
  double step_s = 0;        // the median of the steps
  double device_share = 0;  // of the flops
};

Measured measure(const Config& config, const StepShape& shape, int steps) {
  const TrainingGraph training(config);
  const RandomFeeds random(config, training);
  Session session(engine_of(config));
  Executor executor(session, training_plan(config, *training.graph), {});
  const StepReport report = measure_step(shape, config.run.dtype,
                                         {.executor = executor,
                                          .start = [&] { return executor.run(random.feeds()); },
                                          .warmup = 1,
                                          .steps = steps});
  double all = 0, devices = 0;
  for (const WorkerUse& use : executor.worker_use()) {
    all += use.flops;
    if (!use.name.starts_with("cpu")) devices += use.flops;
  }
  return {report.step_s, devices / all};
}

void run(const Arguments& arguments) {
  const StepShape& shape = step_shape_named(arguments.shape);
  Config mixed = config_of(shape, dtype_named(arguments.dtype));
  mixed.run.devices = split_devices(arguments.devices);
  mixed.run.scheduler = arguments.scheduler;
  mixed.run.tiling = arguments.tiling;
  const DeviceSet devices = parse_devices(mixed.run.devices);
  if (devices.only_cpu())
    throw error("--devices {}: no device to measure; cpu:1,opencl:0, say", shown(arguments.devices));
  mixed.run.workers = std::max(1, devices.cpu);
  Config alone = mixed;
  alone.run.devices = {fmt::format("cpu:{}", mixed.run.workers)};
  alone.run.scheduler = RunConfig().scheduler;
  alone.run.tiling = RunConfig().tiling;
  std::vector<double> alone_s, mixed_s, shares, ratios;
  for (int round = 0; round < arguments.rounds; ++round) {
    // StarPU looks for devices when it first starts: begin with the run that wants them.
    const Measured both = measure(mixed, shape, arguments.steps);
    alone_s.push_back(measure(alone, shape, arguments.steps).step_s);
    mixed_s.push_back(both.step_s);
    shares.push_back(both.device_share);
    ratios.push_back(alone_s.back() / both.step_s);
  }
  if (arguments.json)
    return print_line(Json{{"shape", shape.name},
                           {"dtype", arguments.dtype},
                           {"devices", arguments.devices},
                           {"rounds", arguments.rounds},
                           {"cpu_step_s", rounded(median(alone_s), 4)},
                           {"mixed_step_s", rounded(median(mixed_s), 4)},
                           {"speedup", rounded(median(ratios), 4)},
                           {"device_share", rounded(median(shares), 3)}});
  print_line(
      fmt::format("{} {}: {} a step on the CPU workers alone, {} with {}: {:.3f} times as fast; {:.1f} % "
                  "of the flops on devices (medians of {})",
                  shape.name, arguments.dtype, seconds_text(median(alone_s)), seconds_text(median(mixed_s)),
                  arguments.devices, median(ratios), 100 * median(shares), arguments.rounds));
}

}  // namespace

void add_bench_mixed(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      bench.add_subcommand("mixed", "Time training steps on CPU workers alone, and with devices, in turn");
  command->footer(R"(Run tessera calibrate with the same --devices first.

  tessera bench mixed --devices cpu:1,opencl:0
  POCL_MAX_PTHREAD_COUNT=1 tessera bench mixed --rounds 5 --json

JSON: one line with the keys
  shape dtype devices rounds   what was measured, and how often
  cpu_step_s mixed_step_s      medians of a step's seconds
  speedup                      the median of the rounds' ratios
  device_share                 of the flops, that devices did)");
  command->add_option("--shape", arguments->shape, "As of bench step")->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "f32 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--devices", arguments->devices, "As run.devices")->capture_default_str();
  command->add_option("--scheduler", arguments->scheduler, "Of the mixed run")->capture_default_str();
  command->add_option("--tiling", arguments->tiling, "Of the mixed run")->capture_default_str();
  command->add_option("--rounds", arguments->rounds, "Measurements of each")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--steps", arguments->steps, "Steps of each, after one to warm up")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", arguments->json, "One line of JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
