// tessera generate: a model folder continues a text.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cmath>

#include "models/generate/generator.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/core/error.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string model, prompt, dtype = "f32";
  std::optional<DType> kv_dtype;
  std::vector<int32_t> prompt_ids;
  int64_t max_new = 64;
  Sampling sampling{.temperature = 1};
  int workers = 0;
  bool no_cache = false, json = false;
};

std::vector<int32_t> prompt_of(const Arguments& arguments, const Tokenizer* tokenizer) {
  if (!arguments.prompt_ids.empty()) return arguments.prompt_ids;
  if (!tokenizer)
    throw error("{}: there is no tokenizer.json; give token ids with --prompt-ids", arguments.model);
  return encode_prompt(*tokenizer, arguments.prompt);
}

void run(const Arguments& arguments) {
  if (arguments.max_new < 1) throw error("--max-new {}: at least one token", arguments.max_new);
  if (!(arguments.sampling.temperature >= 0 && std::isfinite(arguments.sampling.temperature)))
    throw error("--temperature {}: 0 is greedy, more is freer", arguments.sampling.temperature);
  if (!(arguments.sampling.top_p > 0 && arguments.sampling.top_p <= 1))
    throw error("--top-p {}: above 0, at most 1", arguments.sampling.top_p);
  if (arguments.sampling.top_k < 0) throw error("--top-k {}: 0 is all tokens", arguments.sampling.top_k);
  const std::filesystem::path file = std::filesystem::path(arguments.model) / "tokenizer.json";
  const std::unique_ptr<Tokenizer> tokenizer = std::filesystem::exists(file) ? load_tokenizer(file) : nullptr;
  const bool text = tokenizer && tokenizer->reads_text();
  Session session({.workers = arguments.workers});
  Generator generate(session, arguments.model,
                     {.dtype = dtype_named(arguments.dtype),
                      .cache = !arguments.no_cache,
                      .cache_dtype = arguments.kv_dtype});
  const std::vector<int32_t> prompt = prompt_of(arguments, tokenizer.get());
  generate.check(prompt, arguments.max_new);

  std::optional<TextStream> stream;
  if (text) stream.emplace(*tokenizer);
  GenerateOptions options{
      .max_new = arguments.max_new, .sampling = arguments.sampling, .eos = generate.config().eos};
  if (!arguments.json) {
    if (stream && arguments.prompt_ids.empty()) fmt::print("{}", arguments.prompt);
    options.token = [&](int32_t token) {
      fmt::print("{}", stream ? stream->next(token) : std::to_string(token) + " ");
      flush_output();
    };
  }
  const auto began = std::chrono::steady_clock::now();
  const std::vector<int32_t> ids = generate(prompt, options);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (!arguments.json) return fmt::print("{}\n", stream ? stream->end() : "");
  Json line{{"prompt_tokens", prompt.size()},
            {"ids", ids},
            {"tokens_per_s", static_cast<double>(ids.size()) / seconds}};
  if (text) line["text"] = decode(*tokenizer, ids);
  print_line(line);
}

}  // namespace

void add_generate(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("generate", "Continue a text with a model folder");
  command->footer(
      "  tessera generate out/shakespeare --prompt 'ROMEO:' --max-new 200 --temperature 0.8 --top-k 50\n"
      "  tessera generate out/addition --prompt '123+456=' --temperature 0\n"
      "  tessera generate MODEL --prompt-ids 1,5,9 --json      (a line: prompt_tokens, ids, tokens_per_s, "
      "text)");
  command
      ->add_option("model", arguments->model,
                   "A model folder: config.json, model.safetensors, tokenizer.json")
      ->required();
  CLI::Option* prompt = command->add_option("--prompt", arguments->prompt, "The text to continue");
  command
      ->add_option("--prompt-ids", arguments->prompt_ids, "Token ids to continue, 1,5,9; needs no tokenizer")
      ->delimiter(',')
      ->check([](const std::string& id) { return id.empty() ? "an id is missing; write 1,5,9" : ""; })
      ->excludes(prompt);
  command->add_option("--max-new", arguments->max_new, "New tokens at most")->capture_default_str();
  command->add_option("--temperature", arguments->sampling.temperature, "0: always the likeliest token")
      ->capture_default_str();
  command->add_option("--top-k", arguments->sampling.top_k, "Only among the k likeliest; 0: all")
      ->capture_default_str();
  command
      ->add_option("--top-p", arguments->sampling.top_p,
                   "Only among the likeliest with this probability together")
      ->capture_default_str();
  command->add_option("--seed", arguments->sampling.seed, "Of the random choices")
      ->check(CLI::Range(0.0, 1e18))
      ->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "To compute in")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  CLI::Option* kv_dtype = add_kv_dtype_option(*command, arguments->kv_dtype);
  add_workers_option(*command, arguments->workers);
  command->add_flag("--no-cache", arguments->no_cache, "Compute the whole sequence for every token")
      ->excludes(kv_dtype);
  command->add_flag("--json", arguments->json, "One line of JSON at the end");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
