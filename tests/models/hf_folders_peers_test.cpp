// Model folders across Hugging Face's transformers: written here and read there, written there and read here.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>

#include "models/checkpoint/hf_weights.hpp"
#include "models/config/hf_config.hpp"
#include "models/train/language_model.hpp"
#include "models/train/trainer.hpp"
#include "runtime/core/file.hpp"
#include "runtime/exec/executor.hpp"
#include "tests/models/peers.hpp"
#include "tests/models/scratch.hpp"
#include "tests/paths.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr int64_t seq = 24;  // as in hf_folders.py, whose token ids these are
std::vector<int32_t> ids_below(int64_t vocab) {
  std::vector<int32_t> ids;
  for (int64_t position = 0; position < seq; ++position)
    ids.push_back(static_cast<int32_t>((position * 7 + 3) % vocab));
  return ids;
}

// [seq, vocab], of one sequence.
std::vector<float> logits_of(const fs::path& folder) {
  const ModelConfig config = read_hf_config(folder / "config.json").model;
  Graph graph;
  const Shape rows{Dim("rows", seq)};
  const Tensor tokens = graph.input("tokens", rows, DType::i32);
  const Tensor positions = graph.input("positions", rows, DType::i32);
  const Tensor starts = graph.input("starts", rows, DType::i32);
  ModelParts parts{graph};
  const LanguageModel model(parts, config);
  const Tensor logits =
      model.logits(model.hidden(tokens, {.positions = positions, .starts = starts, .seq = seq}));
  graph.fetch(logits);
  Session session({.engine = "threads", .workers = 1});
  Executor executor(session, make_plan(graph, {}));
  load_weights(folder, config, session);
  std::vector<int32_t> count(seq);
  for (size_t i = 0; i < count.size(); ++i) count[i] = static_cast<int32_t>(i);
  const std::vector<int32_t> zeros(seq, 0), ids = ids_below(config.vocab);
  return executor.run({{tokens, ids}, {positions, count}, {starts, zeros}}).get(logits);
}

void expect_same_logits(const fs::path& folder) {
  SCOPED_TRACE(folder.filename().string());
  const std::string bytes = read_file(folder / "logits.bin");
  std::vector<float> theirs(bytes.size() / sizeof(float));
  std::memcpy(theirs.data(), bytes.data(), bytes.size());
  const std::vector<float> ours = logits_of(folder);
  ASSERT_EQ(ours.size(), theirs.size());
  float difference = 0, largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    difference = std::max(difference, std::abs(ours[i] - theirs[i]));
    largest = std::max(largest, std::abs(theirs[i]));
  }
  EXPECT_LE(difference, 1e-4);
  EXPECT_GT(largest, 0.1) << "logits that say nothing";
}

class PeersFolders : public testing::Test {
 protected:
  void SetUp() override {
    peers_ = test::peers_with("torch, transformers, safetensors");
    if (!peers_.missing.empty()) GTEST_SKIP() << peers_.missing;
  }
  void run_script(const std::string& arguments) const {
    const std::string command = fmt::format("'{}' '{}' {}", peers_.python,
                                            test::source_path("tests/models/hf_folders.py"), arguments);
    ASSERT_EQ(std::system(command.c_str()), 0);
  }

  test::Peers peers_;
  test::ScratchFolder folder_;
};

TEST_F(PeersFolders, WrittenThereLoadHereWithTheSameLogits) {
  run_script(fmt::format("write '{}'", folder_.path.string()));
  size_t folders = 0, shards = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path)) {
    expect_same_logits(entry.path());
    ++folders;
    shards += fs::exists(entry.path() / "model.safetensors.index.json");
  }
  EXPECT_EQ(folders, 14u);
  EXPECT_EQ(shards, 3u);
}

// Two steps of training leave the folder.
void train_into(const fs::path& out, const fs::path& text, std::vector<std::string> settings) {
  settings.push_back(fmt::format("data.path={}", text.string()));
  constexpr std::string_view config =
      "[model]\nkind = \"gpt2\"\nlayers = 2\nheads = 4\nwidth = 32\nseq = 24\ninit_std = 0.2\n"
      "[data]\nkind = \"text\"\n[train]\nsteps = 2\nbatch = 4\nlr = 1e-2\n";
  train(parse_config(config, "test", {.overrides = settings}), {.out = out, .engine = "threads"});
}

TEST_F(PeersFolders, TrainedHereLoadThereWithTheSameLogits) {
  std::string text;
  for (int i = 0; i < 900; ++i) text += static_cast<char>('a' + i * i % 26);
  const fs::path data = folder_.write("text.txt", text);
  const std::pair<const char*, std::vector<std::string>> runs[] = {
      {"gpt2", {}},
      {"gpt2_untied", {"model.tied=false", "model.activation=gelu", "model.ffn=96"}},
      {"gpt2_without_biases", {"model.bias=false"}},
      {"llama", {"model.kind=llama", "model.kv_heads=2"}},
      {"llama_tied", {"model.kind=llama", "model.kv_heads=1", "model.tied=true", "model.rope_theta=500"}},
      {"llama_with_biases", {"model.kind=llama", "model.bias=true", "model.norm_eps=1e-4"}},
      {"llama_bf16", {"model.kind=llama", "model.kv_heads=2", "run.dtype=bf16"}},
  };
  std::string folders;
  for (const auto& [name, settings] : runs) {
    train_into(folder_ / name, data, settings);
    folders += fmt::format(" '{}'", (folder_ / name).string());
  }
  run_script("read" + folders);
  for (const auto& [name, settings] : runs) expect_same_logits(folder_ / name);
}

}  // namespace
}  // namespace tessera
