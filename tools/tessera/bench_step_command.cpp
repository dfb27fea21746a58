// tessera bench step: one training step of a model that peers are compared on.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/plans.hpp"
#include "runtime/core/devices.hpp"
#include "runtime/core/machine.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/step_model.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string shape = "gpt30m", dtype = "f32", tiling = "auto", scheduler = "lws", recompute = "none",
              devices;
  int workers = 0, steps = 9;
  bool json = false;
};

Config config_of(const Arguments& arguments) {
  Config config = config_of(step_shape_named(arguments.shape), dtype_named(arguments.dtype));
  config.train.recompute = arguments.recompute == "block"       ? Recompute::block
                           : arguments.recompute == "attention" ? Recompute::attention
                                                                : Recompute::none;
  config.run.tiling = arguments.tiling;
  config.run.scheduler = arguments.scheduler;
  config.run.workers = arguments.workers > 0 ? arguments.workers : usable_cores();
  if (!arguments.devices.empty()) config.run.devices = split_devices(arguments.devices);
  return config;
}

void run(const Arguments& arguments) {
  const Config config = config_of(arguments);
  const EngineOptions engine = engine_of(config);
  const TrainingGraph training(config);
  double ceiling = 0;
  for (int64_t n : {256, 512})
    ceiling = std::max(ceiling, measure_matmul(config.run.dtype, n, engine.workers, 0.4).gflops);
  Session session(engine);
  Executor executor(session, training_plan(config, *training.graph), {.record = true});
  const RandomFeeds random(config, training);
  const StepReport report = measure_step(step_shape_named(arguments.shape), config.run.dtype, ceiling,
                                         {.executor = executor,
                                          .start = [&] { return executor.run(random.feeds()); },
                                          .steps = arguments.steps});
  arguments.json ? print_line(as_json(report)) : print_text(report);
}

}  // namespace

void add_bench_step(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = bench.add_subcommand("step", "Time a training step: forward, backward and AdamW");
  command->footer(std::string("  tessera bench step --shape gpt30m --dtype bf16 --json\n\n") + step_keys);
  command->add_option("--shape", arguments->shape, "chargpt, llama17m, gpt30m or gpt2")
      ->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "f32 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--tiling", arguments->tiling, "As run.tiling")->capture_default_str();
  command->add_option("--scheduler", arguments->scheduler, "As run.scheduler")->capture_default_str();
  command->add_option("--recompute", arguments->recompute, "none, attention or block")
      ->capture_default_str()
      ->check(CLI::IsMember({"none", "attention", "block"}));
  command->add_option("--steps", arguments->steps, "Measured steps, after three to warm up")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  command->add_option("--devices", arguments->devices, "As run.devices: cpu:1,opencl:0; overrides --workers");
  add_workers_option(*command, arguments->workers);
  command->add_flag("--json", arguments->json, "One line of JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
