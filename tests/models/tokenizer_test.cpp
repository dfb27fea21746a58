// Tokenizers: text there and back, files read back alike, streams of whole characters, and unread kinds.
// SPDX-License-Identifier: Apache-2.0
#include "models/tokenizer/tokenizer.hpp"

#include <nlohmann/json.hpp>
#include <numeric>

#include "models/tokenizer/byte_tokenizer.hpp"
#include "models/tokenizer/char_tokenizer.hpp"
#include "models/tokenizer/sentencepiece_tokenizer.hpp"
#include "runtime/core/file.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using nlohmann::json;
using test::error_of;
using test::ScratchFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

std::string refusal(const json& file) {
  return error_of([&] { parse_tokenizer(file.dump(), "t.json"); });
}

// A llama2.c file: the three specials, the bytes, then these pieces, best first.
std::string llama2c_file(const std::vector<std::string>& pieces) {
  std::string out("\7\0\0\0", 4);
  auto add = [&](std::string_view text, float score) {
    int32_t length = static_cast<int32_t>(text.size());
    out.append(reinterpret_cast<const char*>(&score), 4)
        .append(reinterpret_cast<const char*>(&length), 4)
        .append(text);
  };
  for (std::string_view special : {"<unk>", "\n<s>\n", "\n</s>\n"}) add(special, 0);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 0);
  for (size_t i = 0; i < pieces.size(); ++i) add(pieces[i], -static_cast<float>(i));
  return out;
}

TEST(CharTokenizer, OrdersCharactersByCodePoint) {
  CharTokenizer tokenizer = CharTokenizer::of("hello, wörld €😀\n");
  EXPECT_EQ(tokenizer.vocab_size(), 13);
  EXPECT_THAT(tokenizer.encode("\nho€😀"), ElementsAre(0, 5, 7, 11, 12));
  EXPECT_EQ(decode(tokenizer, tokenizer.encode("wörld")), "wörld");
  EXPECT_EQ(tokenizer.eos(), std::nullopt);
  EXPECT_THAT(error_of([&] { tokenizer.encode("hé"); }),
              HasSubstr("character 'é' (U+00E9, byte 1 of the text)"));
  EXPECT_THAT(error_of([&] { tokenizer.encode("h\xff"); }), HasSubstr("not valid UTF-8 at byte 1"));
  EXPECT_THAT(error_of([&] { CharTokenizer::of("a\xc3"); }), HasSubstr("valid UTF-8, byte 1 is not"));
  EXPECT_THAT(error_of([&] { CharTokenizer("aba"); }), HasSubstr("U+0061 comes twice"));
  EXPECT_THAT(error_of([&] { CharTokenizer("ab", "c"); }), HasSubstr("'c' is not among"));
}

TEST(CharTokenizer, IsReadBackWithItsEnd) {
  CharTokenizer tokenizer("01+=.é\"\\\x01", ".");
  auto again = parse_tokenizer(tokenizer.to_json(), "t.json");
  EXPECT_EQ(again->to_json(), tokenizer.to_json());
  EXPECT_EQ(again->eos(), 4);
  EXPECT_EQ(again->vocab_size(), 9);
  EXPECT_EQ(again->encode("1+0=."), tokenizer.encode("1+0=."));
  EXPECT_EQ(decode(*again, again->encode("1é.\"\\")), "1é\"\\");
  EXPECT_EQ(decode(*again, Ids{0, -1, 9, 1}), "01");
}

TEST(ByteTokenizer, TakesAnyTextAndIsReadBack) {
  ByteTokenizer tokenizer;
  EXPECT_THAT(tokenizer.encode("aé"), ElementsAre('a', 0xc3, 0xa9));
  auto again = parse_tokenizer(tokenizer.to_json(), "t.json");
  EXPECT_EQ(again->to_json(), tokenizer.to_json());
  EXPECT_EQ(decode(*again, again->encode("aé€😀\0b")), "aé€😀\0b");
  EXPECT_EQ(decode(*again, Ids{'a', 0xc3, 'b', 0xff}), "a�b�");
  EXPECT_THAT(error_of([&] { tokenizer.encode("ab\xc3"); }), HasSubstr("not valid UTF-8 at byte 2"));
  json file = json::parse(tokenizer.to_json());
  std::swap(file["model"]["vocab"]["a"], file["model"]["vocab"]["b"]);
  EXPECT_THAT(refusal(file), HasSubstr("ids must be the bytes 0 to 255"));
}

TEST(TextStream, GivesOutWholeCharactersOnly) {
  ByteTokenizer tokenizer;
  TextStream stream(tokenizer);
  std::vector<std::string> out;
  for (char byte : std::string("a€😀\xe2\x82!\xf0\x9f"))
    out.push_back(stream.next(static_cast<uint8_t>(byte)));
  EXPECT_THAT(out, ElementsAre("a", "", "", "€", "", "", "", "😀", "", "", "�!", "", ""));
  EXPECT_EQ(stream.end(), "�");
  EXPECT_EQ(stream.end(), "");
}

TEST(SentencepieceTokenizer, MergesTheBestScoreFirst) {
  auto tokenizer = read_llama2c(llama2c_file({" ab", "bc", "ab", " a", " ", "a", "b", "c"}), "tok.bin");
  constexpr int32_t ab_after_space = 259, bc = 260, space_a = 262, space = 263, a = 264, b = 265, c = 266;
  EXPECT_EQ(tokenizer.vocab_size(), 267);
  EXPECT_THAT(tokenizer.encode("ab"), ElementsAre(ab_after_space));
  EXPECT_THAT(tokenizer.encode("abc"), ElementsAre(space_a, bc));  // "bc" beats "ab", which " ab" would need
  EXPECT_THAT(tokenizer.encode("c a"), ElementsAre(space, c, space_a));
  EXPECT_THAT(tokenizer.encode("cé"), ElementsAre(space, c, 3 + 0xc3, 3 + 0xa9));
  EXPECT_THAT(tokenizer.encode("b<s>a</s>"), ElementsAre(space, b, 1, space_a, 2));
  EXPECT_THAT(tokenizer.encode(""), ElementsAre());
  EXPECT_THAT(encode_prompt(tokenizer, "b"), ElementsAre(1, space, b));
  EXPECT_EQ(decode(tokenizer, encode_prompt(tokenizer, "ab cé a")), "ab cé a");
  EXPECT_EQ(decode(tokenizer, Ids{a, space_a}), "a a");
  EXPECT_EQ(tokenizer.bytes_of(a), "a");
  EXPECT_THAT(error_of([&] { tokenizer.encode("\xff"); }), HasSubstr("not valid UTF-8 at byte 0"));

  auto again = parse_tokenizer(tokenizer.to_json(), "t.json");
  EXPECT_EQ(again->to_json(), tokenizer.to_json());
  EXPECT_EQ(again->bos(), 1);
  EXPECT_EQ(again->eos(), 2);
  for (std::string_view text : {"ab", "abc", "c a b", "  abcabc é", "b<s>a"})
    EXPECT_EQ(again->encode(text), tokenizer.encode(text)) << text;
}

TEST(SentencepieceTokenizer, RefusesADamagedLlama2cFile) {
  ScratchFolder folder;
  std::string good = llama2c_file({" ", "a"});
  auto read = [&](std::string_view bytes) {
    return error_of([&] { load_tokenizer(folder.write("tok.bin", bytes)); });
  };
  EXPECT_THAT(read(""), HasSubstr("tok.bin: is empty"));
  EXPECT_THAT(read("abc"), HasSubstr("tok.bin: is truncated"));
  EXPECT_THAT(read(good.substr(0, good.size() - 1)), HasSubstr("token 260 is said to be 1 bytes long"));
  EXPECT_THAT(read(good.substr(0, good.size() - 4)), HasSubstr("tok.bin: is truncated"));
  EXPECT_THAT(read(good.substr(0, 2000)), HasSubstr("tok.bin: "));
  EXPECT_THAT(read(llama2c_file({" ", " "})), HasSubstr("comes twice"));
  EXPECT_THAT(read(llama2c_file({"\xff"})), HasSubstr("token 259 has a score or bytes that cannot be"));
  EXPECT_THAT(read(good.substr(0, 17)), HasSubstr("tok.bin: the vocabulary has no token <0x00>"));
  std::string negative = good;
  negative[8] = negative[11] = '\xff';
  EXPECT_THAT(read(negative), HasSubstr("token 0 is said to be"));
}

TEST(SentencepieceTokenizer, ReadsTheStoriesTokenizer) {
  if (!test::data_folder()) GTEST_SKIP() << "TESSERA_DATA is not set: the stories260k tokenizer is not there";
  std::filesystem::path folder = std::filesystem::path(test::data_folder()) / "stories260k";
  auto tokenizer = load_tokenizer(folder / "tok512.bin");
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  json expected = json::parse(read_file(folder / "expected_greedy.json"));
  Ids ids = expected["token_ids"].get<Ids>();
  std::string story = decode(*tokenizer, ids);
  EXPECT_THAT(story,
              testing::StartsWith("Once upon a time, there was a little girl named Lily. She loved to play"));
  EXPECT_EQ(decode(*tokenizer, tokenizer->encode(story)), story);
  EXPECT_THAT(encode_prompt(*tokenizer, "Once upon a time"), ElementsAre(1, 403, 407, 261, 378));
  auto again = parse_tokenizer(tokenizer->to_json(), "t.json");
  EXPECT_EQ(again->encode(story), tokenizer->encode(story));
}

TEST(TokenizerFiles, OfAnotherKindAreAnErrorOnlyWhenTextIsAskedFor) {
  json file = json::parse(ByteTokenizer().to_json());
  file["model"]["merges"] = json::array({"a b"});
  auto tokenizer = parse_tokenizer(file.dump(), "t.json");
  EXPECT_FALSE(tokenizer->reads_text());
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
  EXPECT_THAT(error_of([&] { tokenizer->encode("a"); }),
              HasSubstr("t.json: tokenizers of the kind 'BPE with pre_tokenizer ByteLevel'"));
  EXPECT_THAT(error_of([&] { decode(*tokenizer, Ids{1}); }), HasSubstr("give token ids instead"));
  EXPECT_THAT(error_of([&] { tokenizer->vocab_size(); }), HasSubstr("are not read"));
  auto pieces = parse_tokenizer(R"({"model": {"type": "WordPiece", "vocab": {}}})", "t.json");
  EXPECT_THAT(error_of([&] { pieces->encode("a"); }), HasSubstr("'WordPiece'"));
  EXPECT_FALSE(parse_tokenizer(R"({"model": {}})", "t.json")->reads_text());
}

TEST(TokenizerFiles, ThatAreDamagedNameTheFault) {
  EXPECT_THAT(error_of([] { parse_tokenizer("{", "t.json"); }), HasSubstr("t.json: not valid JSON"));
  EXPECT_THAT(error_of([] { parse_tokenizer("[]", "t.json"); }), HasSubstr("it has no model"));
  json good = json::parse(CharTokenizer("ab.", ".").to_json());
  auto changed = [&](std::string_view path, const json& value) {
    json file = good;
    file[json::json_pointer(std::string(path))] = value;
    return refusal(file);
  };
  EXPECT_THAT(changed("/model/vocab/a", 3), HasSubstr("token 'a' must have an id of its own below 3"));
  EXPECT_THAT(changed("/model/vocab/a", 1), HasSubstr("must have an id of its own"));
  EXPECT_THAT(changed("/model/vocab/a", -1), HasSubstr("token 'a'"));
  EXPECT_THAT(changed("/model/vocab/a", "0"), HasSubstr("token 'a'"));
  EXPECT_THAT(changed("/model/vocab", json::array()), HasSubstr("model.vocab must map tokens to ids"));
  EXPECT_THAT(changed("/model/vocab", {{"ab", 0}, {".", 1}}), HasSubstr("t.json: "));
  EXPECT_THAT(changed("/added_tokens/0/id", 0), HasSubstr("is not in model.vocab under its id"));
  EXPECT_THAT(changed("/added_tokens/0/content", 7), HasSubstr("is not in model.vocab under its id"));
  EXPECT_THAT(changed("/added_tokens/0", nullptr), HasSubstr("is not in model.vocab under its id"));

  json pieces = json::parse(read_llama2c(llama2c_file({" a", " ", "a"}), "tok.bin").to_json());
  pieces["model"]["merges"][0] = "a x";
  EXPECT_THAT(refusal(pieces), HasSubstr("merge '\"a x\"' joins what is not in the vocabulary"));
  pieces["model"]["merges"] = json::array();
  pieces["added_tokens"].erase(1);
  EXPECT_THAT(refusal(pieces), HasSubstr("special tokens must be the ids 0, 1 and 2"));
}

TEST(TokenizerFiles, AreSavedIntoAModelFolder) {
  ScratchFolder folder;
  save_tokenizer(folder.path, CharTokenizer("ab.", "."));
  EXPECT_EQ(load_tokenizer(folder / "tokenizer.json")->eos(), 2);
  json config = json::parse(read_file(folder / "tokenizer_config.json"));
  EXPECT_EQ(config["eos_token"], ".");
  EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_FALSE(config.contains("bos_token"));
}

}  // namespace
}  // namespace tessera
