// tessera bench step: one training step of a model that peers are compared on.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/plans.hpp"
#include "runtime/core/devices.hpp"
#include "runtime/core/machine.hpp"
#include "tools/tessera/bench_step.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/plan_report.hpp"
#include "tools/tessera/step_model.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string shape = "gpt30m", dtype = "f32", tiling = "auto", scheduler = "lws", recompute = "none",
              devices;
  int64_t layers = 0, seq = 0, batch = 0;  // 0: the shape's
  int workers = 0, steps = 9;
  bool json = false;
};

Config config_of(const StepShape& shape, const Arguments& arguments) {
  Config config = config_of(shape, dtype_named(arguments.dtype));
  config.train.recompute = arguments.recompute == "block"       ? Recompute::block
                           : arguments.recompute == "attention" ? Recompute::attention
                                                                : Recompute::none;
  config.run.tiling = arguments.tiling;
  config.run.scheduler = arguments.scheduler;
  config.run.workers = arguments.workers > 0 ? arguments.workers : usable_cores();
  if (!arguments.devices.empty()) config.run.devices = split_devices(arguments.devices);
  return config;
}

double ceiling_of(DType dtype, int workers) {
  double best = 0;
  for (const int64_t n : {256, 512}) best = std::max(best, measure_matmul(dtype, n, workers, 0.4).gflops);
  return best;
}

StepReport report_of(const StepShape& shape, const Config& config, const Arguments& arguments,
                     const EngineOptions& engine, const TrainingGraph& training, Plan plan) {
  Session session(engine);
  Executor executor(session, std::move(plan), {.record = true});
  const RandomFeeds random(config, training);
  return measure_step(shape, config.run.dtype,
                      {.executor = executor,
                       .start = [&] { return executor.run(random.feeds()); },
                       .steps = arguments.steps,
                       .records_disturb = !engine.cuda.empty() || !engine.opencl.empty()});
}

void run(const Arguments& arguments) {
  StepShape shape = step_shape_named(arguments.shape);
  if (arguments.layers > 0) shape.layers = arguments.layers;
  if (arguments.seq > 0) shape.seq = arguments.seq;
  if (arguments.batch > 0) shape.batch = arguments.batch;
  const Config config = config_of(shape, arguments);
  const EngineOptions engine = engine_of(config);
  const TrainingGraph training(config);
  Plan plan = training_plan(config, *training.graph);
  const int64_t intermediate = memory_need(plan).intermediate, activations = activation_bytes(plan),
                predicted = report_on(plan, {.f32 = 1, .bf16 = 1}, 1).peak_bytes();
  // Before and after, as neighbours and heat change what cores can do within a minute.
  const double before = ceiling_of(config.run.dtype, engine.workers);
  StepReport report = report_of(shape, config, arguments, engine, training, std::move(plan));
  report.ceiling_gflops = (before + ceiling_of(config.run.dtype, engine.workers)) / 2;
  report.predicted_bytes = predicted;
  report.intermediate_bytes = intermediate;
  report.activation_bytes = activations;
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
  const auto changed = [&](const char* name, int64_t& value, const char* what) {
    command->add_option(name, value, what)->check(CLI::Range(1, 1 << 20));
  };
  changed("--layers", arguments->layers, "In place of the shape's");
  changed("--seq", arguments->seq, "Positions, in place of the shape's");
  changed("--batch", arguments->batch, "Sequences, in place of the shape's");
  command->add_option("--steps", arguments->steps, "Measured steps, after three to warm up")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  command->add_option("--devices", arguments->devices, "As run.devices: cpu:1,opencl:0; overrides --workers");
  add_workers_option(*command, arguments->workers);
  command->add_flag("--json", arguments->json, "One line of JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
