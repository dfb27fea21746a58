// tessera import: other formats into model folders.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/import.hpp"

#include <fmt/format.h>

#include "models/tokenizer/tokenizer.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string checkpoint, tokenizer, out;
  bool json = false;
};

void run(const Arguments& arguments) {
  const ImportedModel model = read_llama2c_checkpoint(arguments.checkpoint);
  std::unique_ptr<Tokenizer> tokenizer;
  if (!arguments.tokenizer.empty()) tokenizer = load_tokenizer(arguments.tokenizer);
  write_model_folder(arguments.out, model, tokenizer.get());
  int64_t parameters = 0;
  for (const OwnedArray& tensor : model.tensors) parameters += static_cast<int64_t>(tensor.bytes.size()) / 4;
  if (arguments.json)
    print_line(Json{{"model", arguments.out}, {"parameters", parameters}});
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
