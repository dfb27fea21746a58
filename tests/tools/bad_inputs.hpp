// A folder with one of every input that can be wrong, made from a tiny model that `tessera train` wrote.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <functional>
#include <map>

#include "tests/models/scratch.hpp"
#include "tests/tools/run_program.hpp"

namespace tessera::test {

class BadInputs {
 public:
  BadInputs() {
    std::string text;
    for (int i = 0; i < 1000; ++i) text += "abcdefghij\n"[i * 7 % 11];
    folder_.write("text.txt", text);
    folder_.write("empty.txt", "");
    folder_.write("latin1.txt", text + "caf\xe9\n");
    folder_.write("short.txt", "abc");
    folder_.write("greek.txt", text + "αβγ\n");
    folder_.write("file", "in the way");
    write_configurations();
    const Outcome trained = run("train config.toml --out model");
    if (trained.code != 0) throw failure("no model to start from: {}", trained.err);
    write_models();
    write_checkpoints();
  }

  // Runs `tessera` in the folder, for a minute at most; `limits` are commands of a shell.
  Outcome run(const std::string& arguments, const std::string& limits = "true") const {
    return run_program(
        arguments, fmt::format("unset STARPU_SILENT TESSERA_CACHE; export XDG_CACHE_HOME='{}'; cd '{}'; {}; "
                               "timeout -s KILL 60",
                               cache_.path.string(), folder_.path.string(), limits));
  }

  // What every file holds; nothing for a folder.
  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path))
      files[std::filesystem::relative(entry.path(), folder_.path).string()] =
          entry.is_regular_file() ? read_file(entry.path()) : "";
    return files;
  }

  // Puts everything back to `before`.
  void remove_new(const std::map<std::string, std::string>& before) const {
    for (const auto& [name, bytes] : contents())
      if (!before.contains(name)) std::filesystem::remove_all(folder_ / name);
  }

 private:
  using Edit = std::function<void(nlohmann::json&)>;

  void write_configurations() const {
    const std::string good =
        "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 2\nwidth = 8\nseq = 10\n[data]\nkind = \"text\"\n"
        "path = \"text.txt\"\n[train]\nsteps = 2\nbatch = 4\nlr = 1e-2\n";
    const auto without = [&](const std::string& line) {
      std::string text = good;
      return text.erase(text.find(line), line.size());
    };
    folder_.write("config.toml", good);
    folder_.write("no_lr.toml", without("lr = 1e-2\n"));
    folder_.write("no_width.toml", without("width = 8\n"));
    folder_.write("no_data.toml", without("[data]\nkind = \"text\"\npath = \"text.txt\"\n"));
    folder_.write("not.toml", "[model\n");
    folder_.write("empty.toml", "");
  }

  // A copy of the model with other bytes in one of its files.
  void variant(const std::string& name, const std::string& file, const std::string& bytes) const {
    std::filesystem::create_directory(folder_ / name);
    for (const char* part : {"config.json", "model.safetensors", "tokenizer.json"})
      std::filesystem::copy_file(folder_ / "model" / part, folder_ / name / part);
    folder_.write(name + "/" + file, bytes);
  }
  void edited_weights(const std::string& name, const Edit& edit) const {
    uint64_t length = 0;
    std::memcpy(&length, weights_.data(), sizeof length);
    nlohmann::json header = nlohmann::json::parse(weights_.substr(8, length));
    edit(header);
    std::string text = header.dump();
    const uint64_t size = text.size();
    text.insert(0, reinterpret_cast<const char*>(&size), sizeof size);
    variant(name, "model.safetensors", text + weights_.substr(8 + length));
  }
  void edited_config(const std::string& name, const Edit& edit) const {
    nlohmann::json config = nlohmann::json::parse(read_file(folder_ / "model/config.json"));
    edit(config);
    variant(name, "config.json", config.dump());
  }

  void write_models() {
    weights_ = read_file(folder_ / "model/model.safetensors");
    variant("no_weights", "file", "");
    std::filesystem::remove(folder_ / "no_weights/model.safetensors");
    std::string infinite = weights_;
    for (size_t end = weights_.size(); end > weights_.size() - 100; end -= 4)
      std::memcpy(infinite.data() + end - 4, "\0\0\x80\x7f", 4);
    variant("infinite_weights", "model.safetensors", infinite);
    variant("empty_weights", "model.safetensors", "");
    variant("cut_length", "model.safetensors", weights_.substr(0, 5));
    variant("cut_header", "model.safetensors", weights_.substr(0, 100));
    variant("cut_data", "model.safetensors", weights_.substr(0, weights_.size() - 100));
    std::string huge = weights_;
    std::memcpy(huge.data(), "\0\0\0\0\0\0\0\x80", 8);
    variant("header_of_2_63", "model.safetensors", huge);
    const char* const bias = "transformer.ln_f.bias";
    edited_weights("overlap", [&](auto& h) {
      for (auto& offset : h[bias]["data_offsets"]) offset = offset.template get<uint64_t>() - 4;
    });
    edited_weights("out_of_range", [&](auto& h) {
      const uint64_t far = uint64_t{1} << 40;
      h[bias]["data_offsets"] = {far, far + 32};
    });
    edited_weights("wrong_shape", [&](auto& h) { h[bias]["shape"] = {2, 4}; });
    edited_weights("wrong_dtype", [&](auto& h) { h[bias]["dtype"] = "I32"; });
    edited_weights("unknown_dtype", [&](auto& h) { h[bias]["dtype"] = "F33"; });
    edited_weights("other_name", [&](auto& h) {
      h["other"] = h[bias];
      h.erase(bias);
    });
    edited_config("no_layers", [](auto& c) { c.erase("n_layer"); });
    edited_config("negative_layers", [](auto& c) { c["n_layer"] = -1; });
    edited_config("many_layers", [](auto& c) { c["n_layer"] = 1'000'000'000; });
    edited_config("many_positions", [](auto& c) { c["n_positions"] = 1'000'000'000; });
    edited_config("odd_width", [](auto& c) { c["n_head"] = 3; });
    edited_config("other_kind", [](auto& c) { c["architectures"] = {"BertModel"}; });
    variant("no_json", "config.json", "{\"n_layer\": ");
    variant("no_tokenizer", "file", "");
    std::filesystem::remove(folder_ / "no_tokenizer/tokenizer.json");
    variant("bad_tokenizer", "tokenizer.json", "{}");
    edited_config("shards", [](auto&) {});
    std::filesystem::remove(folder_ / "shards/model.safetensors");
    folder_.write("shards/model.safetensors.index.json",
                  R"({"weight_map": {"transformer.ln_f.bias": "model-1.safetensors"}})");
  }

  // What `import` and `--resume` start from.
  void write_checkpoints() const {
    const auto copy = [&](const std::string& name) {
      std::filesystem::copy(folder_ / "model", folder_ / name, std::filesystem::copy_options::recursive);
      return name + "/checkpoints/step-000002/";
    };
    const std::string state = copy("cut_optimizer") + "optimizer.safetensors";
    folder_.write(state, read_file(folder_ / state).substr(0, 300));
    folder_.write(copy("bad_trainer") + "trainer.json", "{}");

    const int32_t sizes[] = {8, 16, 1, 2, 2, 11, 10};  // width ffn layers heads kv_heads vocab seq
    const size_t floats = 11 * 8 + 8 + 4 * 8 * 8 + 8 + 3 * 8 * 16 + 8 + 2 * 10 * 2;
    const std::string header(reinterpret_cast<const char*>(sizes), sizeof sizes);
    folder_.write("good.bin", header + std::string(4 * floats, '\0'));
    folder_.write("cut.bin", header + std::string(4 * floats - 1, '\0'));
    std::string negative = header;
    negative[11] = '\xff';  // layers
    folder_.write("negative.bin", negative + std::string(4 * floats, '\0'));
  }

  ScratchFolder folder_, cache_;
  std::string weights_;
};

}  // namespace tessera::test
