// Model folders filled under a hidden name, then renamed.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/import.hpp"

#include "models/config/hf_config.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;

void fill(const fs::path& folder, const ImportedModel& model, const Tokenizer* tokenizer) {
  std::vector<NamedArray> arrays;
  for (const OwnedArray& tensor : model.tensors) arrays.push_back(tensor.view());
  write_safetensors(folder / "model.safetensors", arrays);
  HfConfig config;
  config.model = model.config;
  if (tokenizer) {
    config.bos = tokenizer->bos();
    config.eos = tokenizer->eos();
    save_tokenizer(folder, *tokenizer);
  }
  write_file(folder / "config.json", hf_config_json(config));
}

// Throws what stands in the way of a new folder.
void make_folder(const fs::path& folder, const fs::path& final) {
  std::error_code problem;
  if (fs::exists(final, problem) && !(fs::is_directory(final, problem) && fs::is_empty(final, problem)))
    throw error("{}: is there already; choose another folder, or remove it first", final.string());
  fs::create_directories(folder, problem);
  if (problem == std::errc::no_space_on_device)
    throw failure("{}: cannot be made, the disk is full; free some space", final.string());
  if (problem)
    throw error("{}: cannot be made ({}); choose another folder", final.string(), problem.message());
}

}  // namespace

void write_model_folder(const fs::path& folder, const ImportedModel& model, const Tokenizer* tokenizer) {
  if (tokenizer && tokenizer->vocab_size() != model.config.vocab)
    throw error("the tokenizer has {} tokens, the model {}; take the tokenizer that belongs to the model",
                tokenizer->vocab_size(), model.config.vocab);
  if (folder.empty()) throw error("import: name the folder for the model with --out");
  fs::path final = fs::absolute(folder).lexically_normal();
  if (!final.has_filename()) final = final.parent_path();  // "out/"
  const fs::path writing = final.parent_path() / ("." + final.filename().string() + ".tmp");
  std::error_code ignored, problem;
  fs::remove_all(writing, ignored);  // of a killed import
  make_folder(writing, final);
  try {
    fill(writing, model, tokenizer);
    sync_tree(writing);
    fs::rename(writing, final, problem);
    if (problem) throw failure("{}: cannot be put in place: {}", final.string(), problem.message());
    sync_folder(final.parent_path());
  } catch (...) {
    fs::remove_all(writing, ignored);
    throw;
  }
}

}  // namespace tessera
