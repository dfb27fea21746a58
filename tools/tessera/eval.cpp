// tessera eval: a model folder's loss and perplexity on a text.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/checkpoint/hf_weights.hpp"
#include "models/config/hf_config.hpp"
#include "models/data/text.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/error.hpp"
#include "tools/tessera/command.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string model, data, dtype = "f32";
  int64_t batch = 8, seq = 0;
  int workers = 0;
  bool json = false;
};

void run(const Arguments& arguments) {
  const std::filesystem::path folder(arguments.model);
  if (arguments.batch < 1) throw error("--batch {}: at least one sequence", arguments.batch);
  Config config;
  config.model = read_hf_config(folder / "config.json").model;
  config.run.dtype = dtype_named(arguments.dtype);
  const int64_t positions = config.model.seq;
  const int64_t seq = arguments.seq == 0 ? positions : arguments.seq;
  if (seq < 1 || seq > positions) throw error("--seq {}: the model has {} positions", seq, positions);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder / "tokenizer.json");
  const SequentialWindows windows(read_tokens(arguments.data, *tokenizer),
                                  {.batch = arguments.batch, .seq = seq});

  Session session({.workers = arguments.workers});
  EvaluationGraph evaluation(config, arguments.batch * seq, seq);
  Executor executor(session, evaluation_plan(config, *evaluation.graph, {}));
  load_weights(folder, config.model, session);
  double sum = 0, count = 0;
  for (int64_t i = 0; i < windows.batches(); ++i) {
    const Executor::Step step = executor.run(evaluation.batch.feeds(windows.at(i)));
    const double n = step.scalar(evaluation.count);
    sum += n * step.scalar(evaluation.loss);
    count += n;
  }
  const double loss = sum / count;
  if (arguments.json)
    fmt::print("{}\n",
               nlohmann::ordered_json{
                   {"loss", loss}, {"perplexity", std::exp(loss)}, {"tokens", static_cast<int64_t>(count)}}
                   .dump());
  else
    fmt::print("loss {:.4f}, perplexity {:.3f} over {} tokens\n", loss, std::exp(loss),
               static_cast<int64_t>(count));
}

}  // namespace

void add_eval(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("eval", "Loss and perplexity of a model folder on a text");
  command->footer(
      "The text is read window by window, each of --seq tokens.\n\n  tessera eval out/shakespeare --data "
      "held_out.txt --json      (loss, perplexity, tokens)");
  command
      ->add_option("model", arguments->model,
                   "A model folder: config.json, model.safetensors, tokenizer.json")
      ->required();
  command->add_option("--data", arguments->data, "A UTF-8 text")->required();
  command->add_option("--batch", arguments->batch, "Sequences at a time")->capture_default_str();
  command->add_option("--seq", arguments->seq, "Tokens of a window; 0: the model's positions")
      ->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "To compute in: f32 or bf16")->capture_default_str();
  command->add_option("--workers", arguments->workers, "CPU workers; 0: one per core")->capture_default_str();
  command->add_flag("--json", arguments->json, "One line of JSON: loss, perplexity, tokens");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
