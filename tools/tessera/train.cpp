// tessera train: trains the model of a configuration and leaves a model folder.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include "models/data/addition.hpp"
#include "models/generate/generator.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "models/train/trainer.hpp"
#include "runtime/core/devices.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"
#include "tools/tessera/progress.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string config, out, trace, scheduler, explain, record, replay;
  std::vector<std::string> set;
  std::string devices, swap;
  int64_t device_memory = 0, host_memory = 0;
  bool resume = false, json = false, strict_devices = false;
};

// A model that has learned sums is asked sums that it has never seen.
void examine_addition(const Config& config, const Arguments& arguments) {
  const Addition addition(config.data.digits, config.data.held_out);
  const CharTokenizer tokenizer = Addition::tokenizer();
  Session session({.workers = static_cast<int>(config.run.workers), .scheduler = config.run.scheduler});
  Generator generate(session, arguments.out, {.dtype = config.run.dtype});
  const std::vector<Sum> sums = addition.held_out_sums(1000);
  size_t right = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    const std::string prompt = addition.prompt(sums[i]);
    const std::vector<int32_t> ids =
        generate(tokenizer.encode(prompt), {.max_new = addition.digits() + 2, .eos = tokenizer.eos()});
    const std::string answer = decode(tokenizer, ids);
    right += addition.correct(sums[i], answer);
    if (i >= 5 || arguments.json) continue;
    const std::optional<int64_t> said = addition.parse_answer(answer);
    fmt::print("  {} + {} = {}\n", sums[i].a, sums[i].b, said ? std::to_string(*said) : "?");
  }
  const double share = 100.0 * static_cast<double>(right) / static_cast<double>(sums.size());
  if (arguments.json)
    print_line(Json{{"exact_match", share / 100}, {"held_out", sums.size()}});
  else
    fmt::print("exact match: {:.1f} % of {} sums that it has never seen\n", share, sums.size());
}

TrainResult train_with_bar(const Config& config, const Arguments& arguments) {
  TrainOptions options;
  options.out = arguments.out;
  options.resume = arguments.resume;
  options.explain_placement = arguments.explain;
  options.record_placement = arguments.record;
  options.replay_placement = arguments.replay;
  options.strict_devices = arguments.strict_devices;
  const double ceiling = cached_ceiling(static_cast<int>(config.run.workers)).of(config.run.dtype);
  ProgressBar bar({.steps = config.train.steps, .ceiling_gflops = ceiling});
  options.note = [&](const std::string& line) { bar.say(line); };
  options.progress = [&](const TrainProgress& p) {
    bar.update(
        {.step = p.step, .loss = p.loss, .tokens_per_s = p.tokens_per_s, .gflops = p.flops_per_s / 1e9});
    if (p.val_loss) bar.say(fmt::format("step {}: validation loss {:.4f}", p.step, *p.val_loss));
  };
  const TrainResult result = train(config, options);
  bar.finish();
  return result;
}

Json as_json(const TrainResult& result) {
  Json list = Json::array();
  for (const WorkerUse& use : result.workers)
    list.push_back({{"worker", use.name},
                    {"tasks", use.tasks},
                    {"gflops", use.flops * 1e-9},
                    {"busy", use.busy_s / result.seconds},
                    {"bytes_moved", use.bytes_moved}});
  return list;
}

void print_workers(const TrainResult& result) {
  Table table({"worker", "tasks", "Gflop", "busy", "idle", "moved"});
  for (const WorkerUse& use : result.workers) {
    const double busy = 100 * use.busy_s / result.seconds;
    table.row({use.name, std::to_string(use.tasks), fmt::format("{:.1f}", use.flops * 1e-9),
               fmt::format("{:.1f} %", busy), fmt::format("{:.1f} %", 100 - busy),
               bytes_text(use.bytes_moved)});
  }
  table.print();
}

void run(const Arguments& arguments) {
  std::vector<std::string> overrides = arguments.set;
  if (!arguments.devices.empty())
    overrides.push_back(
        fmt::format("run.devices=[\"{}\"]", fmt::join(split_devices(arguments.devices), "\", \"")));
  if (arguments.device_memory > 0)
    overrides.push_back(fmt::format("run.device_memory={}", arguments.device_memory));
  if (arguments.host_memory > 0)
    overrides.push_back(fmt::format("run.host_memory={}", arguments.host_memory));
  if (!arguments.swap.empty()) overrides.push_back(fmt::format("run.swap='{}'", arguments.swap));
  Config config = load_config(arguments.config, {.overrides = overrides, .cores = usable_cores()});
  if (!arguments.trace.empty()) config.run.trace = arguments.trace;
  if (!arguments.scheduler.empty()) config.run.scheduler = arguments.scheduler;
  const TrainResult result = train_with_bar(config, arguments);
  if (arguments.json) {
    Json line{{"steps", result.steps},
              {"loss", result.loss},
              {"seconds", result.seconds},
              {"model", arguments.out}};
    if (result.val_loss) line["val_loss"] = *result.val_loss;
    line["workers"] = as_json(result);
    print_line(line);
  } else {
    fmt::print("loss {:.4f}", result.loss);
    if (result.val_loss) fmt::print(", validation loss {:.4f}", *result.val_loss);
    fmt::print(" after {} steps in {:.1f} s\n", result.steps, result.seconds);
    if (!parse_devices(config.run.devices).only_cpu()) print_workers(result);
  }
  if (config.data.kind == DataKind::addition) examine_addition(config, arguments);
  if (arguments.json) return;
  fmt::print("model: {}\n", arguments.out);
  if (!config.run.trace.empty())
    fmt::print("trace: {} (open it in https://ui.perfetto.dev)\n", config.run.trace);
}

}  // namespace

void add_train(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("train", "Train the model of a configuration; leaves a Hugging Face model folder");
  command->footer(
      "The folder holds config.json, model.safetensors, tokenizer.json, metrics.jsonl (a line per step: "
      "step, loss, lr,\n"
      "grad_norm, tokens_per_s, gflops; val_loss where it was measured) and checkpoints/ to resume from.\n\n"
      "  tessera train examples/addition.toml --out out/addition\n"
      "  tessera train examples/shakespeare.toml --out out/s --set train.steps=200 --set run.dtype=bf16\n"
      "  tessera train examples/shakespeare.toml --out out/s --resume");
  command->add_option("config", arguments->config, "Configuration in TOML; see examples/")->required();
  command->add_option("--out", arguments->out, "The model folder to write")->required();
  command->add_option("--set", arguments->set, "Override a key: --set train.steps=20")
      ->allow_extra_args(false);
  command->add_option(
      "--devices", arguments->devices,
      "What to run on, as run.devices: cpu:N is N workers, cuda:I and opencl:I a device's index, as in "
      "cpu:8,cuda:0");
  command
      ->add_option("--device-memory", arguments->device_memory,
                   "As run.device_memory: MiB of tiles on each device at most; the rest waits in main memory")
      ->check(CLI::PositiveNumber);
  command
      ->add_option(
          "--host-memory", arguments->host_memory,
          "As run.host_memory: MiB of main memory at most, the program itself included; `tessera plan` "
          "says what that means")
      ->check(CLI::PositiveNumber);
  command->add_option("--swap", arguments->swap,
                      "As run.swap: a folder on a disk for what --host-memory leaves no room for");
  command->add_flag(
      "--strict-devices", arguments->strict_devices,
      "Fail where a device kernel does not compile, instead of taking the CPU's with a warning");
  command->add_option("--trace", arguments->trace, "Write the last steps as Perfetto JSON to this file");
  command->add_option("--scheduler", arguments->scheduler,
                      "As run.scheduler, which it overrides: a name that `tessera info` lists, or "
                      "./libmine.so:name from a library of your own");
  command->add_option(
      "--explain-placement", arguments->explain,
      "Write why each task ran where it did, as JSON lines: task, kernel, worker, reason, and "
      "finish, the seconds in which workers would have been through with it; for policies of "
      "Tessera's own");
  command->add_option(
      "--record-placement", arguments->record,
      "Write which kind of worker ran each task of each step, and which algorithms were chosen "
      "there, as JSON lines");
  command->add_option(
      "--replay-placement", arguments->replay,
      "Run each task on the kind of worker that a recorded run says: on the same kinds the same "
      "bits, whatever the scheduler and the number of workers");
  command->add_flag("--resume", arguments->resume,
                    "Go on from the latest checkpoint in the folder, to the same bits");
  command->add_flag("--json", arguments->json,
                    "JSON lines: steps, loss, val_loss, seconds, model; exact_match, held_out");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
