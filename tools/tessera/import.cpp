// tessera import: other formats into model folders.
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <nlohmann/json.hpp>

#include "models/checkpoint/llama2c.hpp"
#include "models/config/hf_config.hpp"
#include "models/tokenizer/tokenizer.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "tools/tessera/command.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string checkpoint, tokenizer, out;
  bool json = false;
};

void run(const Arguments& arguments) {
  namespace fs = std::filesystem;
  const ImportedModel model = read_llama2c_checkpoint(arguments.checkpoint);
  std::unique_ptr<Tokenizer> tokenizer;
  if (!arguments.tokenizer.empty()) tokenizer = load_tokenizer(arguments.tokenizer);
  std::error_code problem;
  fs::create_directories(arguments.out, problem);
  if (problem)
    throw error("{}: cannot be made: {}; choose another folder with --out", arguments.out, problem.message());
  std::vector<NamedArray> arrays;
  int64_t parameters = 0;
  for (const OwnedArray& tensor : model.tensors) {
    arrays.push_back(tensor.view());
    parameters += static_cast<int64_t>(tensor.bytes.size()) / 4;
  }
  write_safetensors(fs::path(arguments.out) / "model.safetensors", arrays);
  HfConfig config;
  config.model = model.config;
  if (tokenizer) {
    config.bos = tokenizer->bos();
    config.eos = tokenizer->eos();
    save_tokenizer(arguments.out, *tokenizer);
  }
  write_file(fs::path(arguments.out) / "config.json", hf_config_json(config));
  if (arguments.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"model", arguments.out}, {"parameters", parameters}}.dump());
  else
    fmt::print("{} parameters -> {}\n", parameters, arguments.out);
}

}  // namespace

void add_import(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("import", "Turn a llama2.c checkpoint into a model folder");
  command->footer("  tessera import stories260K.bin --tokenizer tok512.bin --out out/stories260k");
  command
      ->add_option("checkpoint", arguments->checkpoint, "A llama2.c checkpoint (.bin, legacy or version 1)")
      ->required();
  command->add_option("--tokenizer", arguments->tokenizer, "Its tokenizer (tok*.bin)");
  command->add_option("--out", arguments->out, "The model folder to write")->required();
  command->add_flag("--json", arguments->json, "One line of JSON: model, parameters");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
