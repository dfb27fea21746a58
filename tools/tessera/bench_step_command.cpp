// tessera bench step: one training step of a model that peers are compared on.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/philox.hpp"
#include "tools/tessera/bench_step.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/command.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string shape = "gpt30m", dtype = "f32", tiling = "auto", scheduler = "lws", recompute = "none";
  int workers = 0, steps = 9;
  bool json = false;
};

Config config_of(const StepShape& shape, const Arguments& arguments) {
  Config config;
  config.model = default_model(shape.kind == "llama" ? ModelKind::llama : ModelKind::gpt2);
  config.model.layers = shape.layers;
  config.model.heads = shape.heads;
  config.model.kv_heads = shape.kv_heads;
  config.model.width = shape.width;
  config.model.ffn = shape.ffn;
  config.model.vocab = shape.vocab;
  config.model.seq = shape.seq;
  config.train.batch = shape.batch;
  config.train.lr = 3e-4;
  config.train.clip = 0;  // as the peers' script
  config.train.recompute = arguments.recompute == "block"       ? Recompute::block
                           : arguments.recompute == "attention" ? Recompute::attention
                                                                : Recompute::none;
  config.run.dtype = dtype_named(arguments.dtype);
  config.run.tiling = arguments.tiling;
  return config;
}

Batch random_batch(const StepShape& shape) {
  Batch batch(shape.tokens());
  for (int64_t row = 0; row < shape.tokens(); ++row) {
    const auto draw = philox({static_cast<uint32_t>(row), 0, 0, 0}, philox_key(0));
    const auto below = [&](uint32_t word) {
      return static_cast<int32_t>(word % static_cast<uint64_t>(shape.vocab));
    };
    batch.set(row, row / shape.seq * shape.seq, below(draw[0]), below(draw[1]));
  }
  return batch;
}

void run(const Arguments& arguments) {
  const StepShape& shape = step_shape_named(arguments.shape);
  const Config config = config_of(shape, arguments);
  const TrainingGraph training(config);
  double ceiling = 0;
  const int workers = arguments.workers > 0 ? arguments.workers : usable_cores();
  for (int64_t n : {256, 512})
    ceiling = std::max(ceiling, measure_matmul(config.run.dtype, n, workers, 0.4).gflops);
  Session session({.workers = workers, .scheduler = arguments.scheduler});
  Executor executor(session, training_plan(config, *training.graph), {.record = true});
  const Batch batch = random_batch(shape);
  const std::vector<int32_t> rng{0, 0}, step{1};
  const std::vector<float> lr{3e-4f};
  std::vector<Feed> feeds = training.batch.feeds(batch);
  feeds.insert(feeds.end(), {{training.rng, rng}, {training.lr, lr}, {training.step, step}});
  const StepReport report = measure_step(
      shape, config.run.dtype, ceiling,
      {.executor = executor, .start = [&] { return executor.run(feeds); }, .steps = arguments.steps});
  arguments.json ? print_line(as_json(report)) : print_text(report);
}

}  // namespace

void add_bench_step(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = bench.add_subcommand("step", "Time a training step: forward, backward and AdamW");
  command->footer(std::string("  tessera bench step --shape gpt30m --dtype bf16 --json\n\n") + step_keys);
  command->add_option("--shape", arguments->shape, "chargpt, llama17m, gpt30m or gpt2")
      ->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "Of activations")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--tiling", arguments->tiling, "As run.tiling")->capture_default_str();
  command->add_option("--scheduler", arguments->scheduler, "As run.scheduler")->capture_default_str();
  command->add_option("--recompute", arguments->recompute, "As train.recompute")
      ->check(CLI::IsMember({"none", "attention", "block"}))
      ->capture_default_str();
  command->add_option("--steps", arguments->steps, "Measured steps, after three to warm up")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  add_workers_option(*command, arguments->workers);
  command->add_flag("--json", arguments->json, "One line of JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
