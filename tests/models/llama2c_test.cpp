// llama2.c checkpoints: both versions give the same tensors, q and k are reordered, damage is refused.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/llama2c.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/core/file.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;

struct Sizes {
  int32_t width = 8, ffn = 6, layers = 2, heads = 2, kv_heads = 1, vocab = 5, seq = 3;
};

// A file whose floats count upwards from 0.
std::string file_of(const Sizes& s, int version, bool tied = true, size_t missing = 0) {
  int32_t header[] = {0x616b3432, version, s.width, s.ffn, s.layers, s.heads, s.kv_heads, s.vocab, s.seq};
  if (version == 0 && !tied) header[7] = -s.vocab;
  std::string out(reinterpret_cast<const char*>(header + (version == 0 ? 2 : 0)), version == 0 ? 28 : 36);
  if (version != 0) out += std::string(1, tied ? '\1' : '\0') + std::string(256 - 37, '\0');
  int32_t head = s.width / s.heads, kv = head * s.kv_heads;
  int32_t floats = s.vocab * s.width * (tied ? 1 : 2) + s.width +
                   s.layers * (2 * s.width + 2 * s.width * s.width + 2 * kv * s.width + 3 * s.ffn * s.width) +
                   (version == 0 ? s.seq * head : 0);
  for (int32_t i = 0; i < floats; ++i) {
    float value = static_cast<float>(i);
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return out.substr(0, out.size() - missing);
}

ImportedModel parse(const std::string& file) {
  return parse_llama2c_checkpoint(std::as_bytes(std::span(file)), "model.bin");
}

// The floats of a tensor, of which every one is one higher than the one before within a row: their first
// ones.
std::vector<float> row_starts(const ImportedModel& model, std::string_view name) {
  auto at = std::ranges::find(model.tensors, name, &OwnedArray::name);
  if (at == model.tensors.end()) return {};
  size_t columns = static_cast<size_t>(at->shape.back());
  std::vector<float> out;
  for (size_t i = 0; i < at->bytes.size() / 4; i += columns) {
    float value;
    std::memcpy(&value, at->bytes.data() + i * 4, 4);
    out.push_back(value);
  }
  return out;
}

TEST(Llama2c, PutsEachTensorUnderItsName) {
  for (int version : {0, 1}) {
    ImportedModel model = parse(file_of({}, version));
    EXPECT_EQ(model.config, (ModelConfig{.kind = ModelKind::llama,
                                         .layers = 2,
                                         .heads = 2,
                                         .kv_heads = 1,
                                         .width = 8,
                                         .ffn = 6,
                                         .vocab = 5,
                                         .seq = 3,
                                         .bias = false,
                                         .activation = ActivationKind::silu,
                                         .tied = true}));
    EXPECT_EQ(model.tensors.size(), 2u + 2 * 9);
    EXPECT_EQ(row_starts(model, "model.layers.1.mlp.down_proj.weight").size(), 8u);
  }
  ImportedModel first = parse(file_of({}, 0));
  EXPECT_THAT(row_starts(first, "model.embed_tokens.weight"), ElementsAre(0, 8, 16, 24, 32));
  EXPECT_THAT(row_starts(first, "model.layers.1.input_layernorm.weight"), ElementsAre(48));
  // q of layer 0 starts at 56, rows of 8, two heads of four rows: even rows of a head first.
  EXPECT_THAT(row_starts(first, "model.layers.0.self_attn.q_proj.weight"),
              ElementsAre(56, 72, 64, 80, 88, 104, 96, 112));
  EXPECT_THAT(row_starts(first, "model.layers.1.self_attn.k_proj.weight"), ElementsAre(216, 232, 224, 240));
  EXPECT_THAT(row_starts(first, "model.layers.0.self_attn.v_proj.weight"), ElementsAre(248, 256, 264, 272));
}

TEST(Llama2c, ReadsAHeadOfItsOwn) {
  for (int version : {0, 1}) {
    ImportedModel model = parse(file_of({}, version, false));
    EXPECT_FALSE(model.config.tied);
    EXPECT_EQ(model.config.vocab, 5);
    EXPECT_EQ(row_starts(model, "lm_head.weight").size(), 5u);
  }
}

TEST(Llama2c, RefusesDamagedFilesAndOtherVersions) {
  auto refusal = [](const std::string& file) { return error_of([&] { parse(file); }); };
  EXPECT_THAT(refusal(""), HasSubstr("model.bin: is 0 bytes long"));
  EXPECT_THAT(refusal(file_of({}, 2)), HasSubstr("version 2 of llama2.c's formats; 0 and 1 are read"));
  EXPECT_THAT(refusal(file_of({}, 1).substr(0, 100)), HasSubstr("truncated within its header"));
  std::string absurd = file_of({}, 0);
  const int32_t layers = 1000000000;
  std::memcpy(absurd.data() + 8, &layers, sizeof layers);
  EXPECT_THAT(refusal(absurd), HasSubstr("layers: 1000000000"));
  EXPECT_THAT(refusal(file_of({.vocab = 0}, 0)), HasSubstr("vocab: 0"));
  EXPECT_THAT(refusal(file_of({.width = 10, .heads = 4, .kv_heads = 2}, 1)),
              HasSubstr("width: 10 is not divisible"));
  EXPECT_THAT(refusal(std::string(28, '\xff')), HasSubstr("out of range"));
  for (int version : {0, 1}) {
    EXPECT_THAT(refusal(file_of({}, version, true, 1)), HasSubstr("truncated, or another format"));
    EXPECT_THAT(refusal(file_of({}, version) + "x"), HasSubstr("truncated, or another format"));
  }
}

TEST(Llama2c, ReadsTheStoriesModelAlikeFromBothVersions) {
  if (!test::data_folder())
    GTEST_SKIP() << "TESSERA_DATA is not set: the stories260k checkpoints are not there";
  std::filesystem::path folder = std::filesystem::path(test::data_folder()) / "stories260k";
  ImportedModel a = read_llama2c_checkpoint(folder / "stories260K.bin");
  ImportedModel b = read_llama2c_checkpoint(folder / "checkpoint_v1.bin");
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.config.kv_heads, 4);
  EXPECT_TRUE(a.config.tied);
  ASSERT_EQ(a.tensors.size(), 2u + 5 * 9);
  std::ranges::sort(a.tensors, {}, &OwnedArray::name);
  std::ranges::sort(b.tensors, {}, &OwnedArray::name);
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    EXPECT_TRUE(a.tensors[i].bytes == b.tensors[i].bytes) << a.tensors[i].name;
  }
}

}  // namespace
}  // namespace tessera
