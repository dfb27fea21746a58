// A trained LLaMA, imported from llama2.c: its greedy tokens are those of a forward pass in double precision.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "models/checkpoint/import.hpp"
#include "models/generate/generator.hpp"
#include "runtime/core/file.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

class Stories260k : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::data_folder()) GTEST_SKIP() << "TESSERA_DATA is not set: the stories260k model is not there";
    data_ = std::filesystem::path(test::data_folder()) / "stories260k";
    const auto golden = nlohmann::json::parse(read_file(data_ / "expected_greedy.json"));
    const auto ids = golden["token_ids"].get<std::vector<int32_t>>();
    ASSERT_GT(ids.size(), 200u);
    prompt_.assign(ids.begin(), ids.begin() + 1);
    expected_.assign(ids.begin() + 1, ids.end());
    text_ = golden["text"];
    tokenizer_ = load_tokenizer(data_ / "tok512.bin");
  }

  std::vector<int32_t> greedy(const std::string& checkpoint, const Generator::Options& options) {
    const std::filesystem::path model = folder_ / checkpoint;
    if (!std::filesystem::exists(model))
      write_model_folder(model, read_llama2c_checkpoint(data_ / checkpoint), tokenizer_.get());
    Session session({.engine = "threads", .workers = 1});
    Generator generate(session, model, options);
    return generate(prompt_, {.max_new = static_cast<int64_t>(expected_.size())});
  }

  std::filesystem::path data_;
  std::vector<int32_t> prompt_, expected_;
  std::string text_;
  std::unique_ptr<Tokenizer> tokenizer_;
  test::ScratchFolder folder_;
};

TEST_F(Stories260k, GreedyTokensWithTheCache) {
  const std::vector<int32_t> ids = greedy("stories260K.bin", {.cache = true});
  EXPECT_EQ(ids, expected_);
  EXPECT_THAT(text_, testing::StartsWith(decode(*tokenizer_, ids)));
}

TEST_F(Stories260k, GreedyTokensWithTheCacheInHalfPrecision) {
  EXPECT_EQ(greedy("stories260K.bin", {.cache = true, .cache_dtype = DType::f16}), expected_);
}

TEST_F(Stories260k, GreedyTokensWithoutTheCache) {
  const int64_t capacity = static_cast<int64_t>(expected_.size());
  EXPECT_EQ(greedy("stories260K.bin", {.cache = false, .capacity = capacity}), expected_);
}

TEST_F(Stories260k, GreedyTokensOfVersionOneOfTheFormat) {
  EXPECT_EQ(greedy("checkpoint_v1.bin", {.cache = true}), expected_);
}

TEST_F(Stories260k, IsImportedWholeOrNotAtAll) {
  const ImportedModel model = read_llama2c_checkpoint(data_ / "stories260K.bin");
  EXPECT_TRUE(test::on_a_small_disk(256 << 10, [&](const test::ScratchFolder& disk) {
    const std::string message =
        test::thrown<Failure>([&] { write_model_folder(disk / "model", model, nullptr); });
    return message.find("the disk is full") != message.npos && disk.entries() == 0;
  }));
  folder_.write("taken", "");
  EXPECT_THAT(test::error_of([&] { write_model_folder(folder_ / "taken", model, nullptr); }),
              testing::HasSubstr("taken: is there already"));
  EXPECT_EQ(folder_.entries(), 1u);
}

}  // namespace
}  // namespace tessera
