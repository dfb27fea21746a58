// tessera eval: a model folder's loss and perplexity on a text.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "models/checkpoint/hf_weights.hpp"
#include "models/config/hf_config.hpp"
#include "models/data/text.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/error.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"

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
  Config config;
  config.model = read_hf_config(folder / "config.json").model;
  config.run.dtype = dtype_named(arguments.dtype);
  const int64_t positions = config.model.seq;
  const int64_t seq = arguments.seq == 0 ? positions : arguments.seq;
  if (seq < 1 || seq > positions)
    throw error("--seq {}: the model has {} positions, 1 to {} is possible", seq, positions, positions);
  if (arguments.batch > max_rows / seq)
    throw error("--batch {}: at most {} sequences of {} tokens at a time", arguments.batch, max_rows / seq,
                seq);
  check_weights(folder, config.model);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder / "tokenizer.json");
  std::vector<int32_t> tokens = read_tokens(arguments.data, *tokenizer);
  if (tokenizer->vocab_size() > config.model.vocab)
    throw error("{}: has {} tokens, the model {}; take the tokenizer that belongs to the model",
                (folder / "tokenizer.json").string(), tokenizer->vocab_size(), config.model.vocab);
  if (static_cast<int64_t>(tokens.size()) <= seq)
    throw error("{}: has {} tokens, a window of {} needs {}; take a longer text, or lower --seq",
                arguments.data, tokens.size(), seq, seq + 1);
  const SequentialWindows windows(std::move(tokens), {.batch = arguments.batch, .seq = seq});

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
  if (!std::isfinite(loss))
    throw failure("{}: its loss is not finite; its weights are damaged, or too large for {}", arguments.model,
                  arguments.dtype);
  if (arguments.json)
    print_line(Json{{"loss", loss}, {"perplexity", std::exp(loss)}, {"tokens", static_cast<int64_t>(count)}});
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
  command->add_option("--batch", arguments->batch, "Sequences at a time")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--seq", arguments->seq, "Tokens of a window; 0: the model's positions")
      ->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "To compute in")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  add_workers_option(*command, arguments->workers);
  command->add_flag("--json", arguments->json, "One line of JSON: loss, perplexity, tokens");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
