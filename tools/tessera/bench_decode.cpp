// tessera bench decode: how fast prompts go in and tokens come out.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "models/checkpoint/hf_weights.hpp"
#include "models/config/hf_config.hpp"
#include "models/generate/pass.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/philox.hpp"
#include "runtime/trace/trace.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"
#include "tools/tessera/shapes.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera bench decode llama134m --dtype bf16
  tessera bench decode out/shakespeare --prompt 32 --tokens 24 --batch 1 --json

The model is a folder, or the name of a shape: its weights are then random. A prompt goes in alone; then every
sequence of the batch gets one token in each step, the likeliest. Medians of five prompts and of all steps.

JSON: a line per batch with the keys
  model dtype kv_dtype workers batch prompt  what was measured
  prefill_tokens_per_s decode_tokens_per_s   the latter of all sequences together
  step_ms                                    of one token of each
  weights_gb_per_s                           bytes of the matrices, read once a step, times steps per second
  read_gb_per_s share                        what the machine reads, and the share of it

Where cores are shared with others, or memory is, what can be read changes by half within minutes: it is measured before
and after each batch, of which the mean is told.)";

struct Arguments {
  std::string model, dtype = "f32", scheduler = "lws";
  std::optional<DType> kv_dtype;
  std::vector<int> batches{1, 16};
  int workers = usable_cores();
  int64_t prompt = 256, tokens = 128;
  std::string trace;
  bool json = false;
};

struct Model {
  ModelConfig config;
  std::filesystem::path folder;  // empty: random weights
};

Model model_of(const std::string& name, int64_t positions) {
  if (std::filesystem::exists(std::filesystem::path(name) / "config.json")) {
    Model model{read_hf_config(std::filesystem::path(name) / "config.json").model, name};
    check_weights(model.folder, model.config);
    if (positions > model.config.seq)
      throw error("{}: the model has {} positions; --prompt and --tokens ask for {}", name, model.config.seq,
                  positions);
    return model;
  }
  if (std::filesystem::is_directory(name)) throw error("{}: there is no config.json", name);
  Model model{config_of(step_shape_named(name), DType::f32).model, {}};
  model.config.seq = std::max(model.config.seq, positions);
  return model;
}

// Those that every token needs: not the table in which tokens are only looked up.
double weight_bytes(const ModelConfig& c, DType dtype) {
  const int64_t block = c.width * 2 * (c.width + c.kv_heads * c.head_dim()) +
                        (c.kind == ModelKind::llama ? 3 : 2) * c.width * c.ffn;
  return static_cast<double>((c.layers * block + c.vocab * c.width) * static_cast<int64_t>(size_of(dtype)));
}

template <class F>
double seconds(F&& work) {
  const auto from = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

struct Times {
  double prefill = 0, step = 0;  // seconds
};

Times measure(const Arguments& arguments, const Model& model, int batch) {
  Session session({.workers = arguments.workers, .scheduler = arguments.scheduler});
  PassOptions options{.rows = arguments.prompt,
                      .sequences = batch,
                      .capacity = arguments.prompt + arguments.tokens,
                      .dtype = dtype_named(arguments.dtype),
                      .cache_dtype = arguments.kv_dtype};
  PassOptions step = options;
  step.rows = batch;
  step.record = !arguments.trace.empty();
  Pass decode(session, model.config, step);  // first: weights then lie in the order of its tasks
  Prefill prefill(session, model.config, options);
  if (!model.folder.empty()) load_weights(model.folder, model.config, session);

  const auto vocab = static_cast<uint32_t>(model.config.vocab);
  std::vector<int32_t> next(static_cast<size_t>(batch));
  const auto put_prompt = [&](int32_t sequence) {
    for (int64_t from = 0, end = 0; from < arguments.prompt; from = end) {
      Pass& pass = prefill.pass_for(arguments.prompt - from);
      end = std::min(from + pass.rows(), arguments.prompt);
      std::vector<PassRow> rows;
      for (int64_t at = from; at < end; ++at) {
        const uint32_t word = philox({static_cast<uint32_t>(at), 0, 0, 0}, philox_key(1))[0];
        rows.push_back({static_cast<int32_t>(word % vocab), static_cast<int32_t>(at), sequence});
      }
      next[static_cast<size_t>(sequence)] = pass(rows, {}, 0)[static_cast<size_t>(sequence)];
    }
  };
  std::vector<double> prompts, steps;
  put_prompt(0);  // warms up
  for (int i = 0; i < 5; ++i) prompts.push_back(seconds([&] { put_prompt(0); }));
  for (int32_t sequence = 1; sequence < batch; ++sequence) put_prompt(sequence);
  for (int64_t token = 0; token < arguments.tokens; ++token)
    steps.push_back(seconds([&] {
      std::vector<PassRow> rows;
      for (int32_t sequence = 0; sequence < batch; ++sequence)
        rows.push_back(
            {next[static_cast<size_t>(sequence)], static_cast<int32_t>(arguments.prompt + token), sequence});
      next = decode(rows, {}, token);
    }));
  if (!arguments.trace.empty()) write_chrome_trace(recording_of(decode.executor()), arguments.trace);
  return {median(std::move(prompts)), median(std::move(steps))};
}

void run(const Arguments& arguments) {
  const Model model = model_of(arguments.model, arguments.prompt + arguments.tokens);
  const auto read_now = [&] { return measure_read_bandwidth(arguments.workers, 0.5); };
  double last_read = read_now();
  const double weights = weight_bytes(model.config, dtype_named(arguments.dtype));
  Table table(
      {"batch", "prefill tokens/s", "decode tokens/s", "step", "weights GB/s", "reading GB/s", "share"});
  for (int batch : arguments.batches) {
    const double read_before = last_read;
    const Times times = measure(arguments, model, batch);
    last_read = read_now();
    const double read = (read_before + last_read) / 2;
    const double prefill = static_cast<double>(arguments.prompt) / times.prefill;
    const double decode = batch / times.step, rate = weights / times.step;
    if (arguments.json)
      print_line(Json{{"model", arguments.model},
                      {"dtype", arguments.dtype},
                      {"kv_dtype", name_of(arguments.kv_dtype.value_or(dtype_named(arguments.dtype)))},
                      {"workers", arguments.workers},
                      {"batch", batch},
                      {"prompt", arguments.prompt},
                      {"prefill_tokens_per_s", rounded(prefill, 5)},
                      {"decode_tokens_per_s", rounded(decode, 5)},
                      {"step_ms", rounded(times.step * 1e3, 5)},
                      {"weights_gb_per_s", rounded(rate * 1e-9, 4)},
                      {"read_gb_per_s", rounded(read * 1e-9, 4)},
                      {"share", rounded(rate / read, 4)}});
    table.row({std::to_string(batch), fmt::format("{:.0f}", prefill), fmt::format("{:.1f}", decode),
               seconds_text(times.step), fmt::format("{:.1f}", rate * 1e-9),
               fmt::format("{:.1f}", read * 1e-9), fmt::format("{:.0f} %", 100 * rate / read)});
  }
  if (arguments.json) return;
  table.print();
  print_line(fmt::format("{} {} on {} workers: {} of weights", arguments.model, arguments.dtype,
                         arguments.workers, bytes_text(static_cast<int64_t>(weights))));
}

}  // namespace

void add_bench_decode(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = bench.add_subcommand("decode", "Tokens per second of prompts and of generation");
  command->footer(help);
  command
      ->add_option("model", arguments->model, "A model folder, or a shape: llama17m, llama134m, gpt30m, ...")
      ->required();
  command->add_option("--dtype", arguments->dtype, "f32 or bf16")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
  add_kv_dtype_option(*command, arguments->kv_dtype);
  command->add_option("--batch", arguments->batches, "Sequences decoded together; may be repeated")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command->add_option("--prompt", arguments->prompt, "Tokens of a prompt")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--tokens", arguments->tokens, "Tokens decoded of each sequence")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--scheduler", arguments->scheduler, "As run.scheduler")->capture_default_str();
  add_workers_option(*command, arguments->workers);
  command->add_option("--trace", arguments->trace,
                      "A file for the last batch's timeline, for ui.perfetto.dev");
  command->add_flag("--json", arguments->json, "Print JSON lines");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
