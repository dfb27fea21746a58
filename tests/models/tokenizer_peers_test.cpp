// Hugging Face's `tokenizers` loads our tokenizer.json files, encodes and decodes every text as we do.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "models/config/hf_config.hpp"
#include "models/tokenizer/byte_tokenizer.hpp"
#include "models/tokenizer/char_tokenizer.hpp"
#include "runtime/core/file.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using nlohmann::json;
using test::ScratchFolder;

// Reads in.json, writes out.json: per text its ids, ids with specials added, and the decoded ids.
constexpr std::string_view script = R"(
import json, sys
from tokenizers import Tokenizer
folder = sys.argv[1]
t = Tokenizer.from_file(folder + "/tokenizer.json")
out = []
for text in json.load(open(folder + "/in.json", encoding="utf-8")):
    plain = t.encode(text, add_special_tokens=False).ids
    out.append([plain, t.encode(text).ids, t.decode(plain), t.get_vocab_size()])
json.dump(out, open(folder + "/out.json", "w"))
)";

class PeersTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    const char* python = std::getenv("TESSERA_PEERS_PYTHON");
    if (!python)
      GTEST_SKIP() << "TESSERA_PEERS_PYTHON is not set: no Python with `tokenizers` to compare with";
    python_ = python;
  }

  void expect_alike(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
    save_tokenizer(folder_.path, tokenizer);
    folder_.write("in.json", json(texts).dump());
    folder_.write("compare.py", script);
    std::string command =
        fmt::format("'{}' '{}' '{}'", python_, (folder_ / "compare.py").string(), folder_.path.string());
    ASSERT_EQ(std::system(command.c_str()), 0);
    json out = json::parse(read_file(folder_ / "out.json"));
    ASSERT_EQ(out.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      std::string start = texts[i].substr(0, 60);
      EXPECT_EQ(tokenizer.encode(texts[i]), out[i][0].get<std::vector<int32_t>>()) << start;
      EXPECT_EQ(encode_prompt(tokenizer, texts[i]), out[i][1].get<std::vector<int32_t>>()) << start;
      EXPECT_EQ(decode(tokenizer, tokenizer.encode(texts[i])), out[i][2].get<std::string>()) << start;
      EXPECT_EQ(tokenizer.vocab_size(), out[i][3].get<int32_t>());
    }
  }

  std::string python_;
  ScratchFolder folder_;
};

TEST_F(PeersTokenizer, Characters) {
  std::string all = "hello, wörld €😀\n\t\r\x01 \"\\▁Ġ";
  expect_alike(CharTokenizer::of(all), {all, "", "  hello ", "\n\n", "€€😀", "e\r\nl"});
  expect_alike(CharTokenizer("0123456789+=.", "."), {"123+045=8610.", "1.2", "...", "+="});
}

TEST_F(PeersTokenizer, Bytes) {
  expect_alike(ByteTokenizer(),
               {"", "hello", " a  b\r\n\tc", "wörld €😀", std::string("\0\x7f\x01", 3), "Ġ▁<s>"});
}

TEST_F(PeersTokenizer, StoriesOfLlama2c) {
  if (!test::data_folder()) GTEST_SKIP() << "TESSERA_DATA is not set: the stories260k tokenizer is not there";
  std::filesystem::path data = test::data_folder();
  std::vector<std::string> texts{"",
                                 " ",
                                 "  ",
                                 "Once upon a time",
                                 " Lily said, \"Hi!\"\n\nBen",
                                 "é€😀\t\x01",
                                 "<0x41>",
                                 "a<s>b</s> c<unk>",
                                 "▁a ▁",
                                 "aaaaaaaaaaaaa",
                                 "ababababa",
                                 "  x   y    "};
  std::string play = read_file(data / "tinyshakespeare/input.txt");
  for (size_t at = 0; at + 1500 < play.size(); at += 30000) texts.push_back(play.substr(at, 1500));
  expect_alike(*load_tokenizer(data / "stories260k/tok512.bin"), texts);
}

}  // namespace
}  // namespace tessera
