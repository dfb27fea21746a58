// Loaders: packed rows are what they say, depend on nothing but seed and index, and held-out data stay out.
// SPDX-License-Identifier: Apache-2.0
#include <numeric>
#include <set>

#include "models/data/addition.hpp"
#include "models/data/dataset.hpp"
#include "models/data/text.hpp"
#include "models/tokenizer/byte_tokenizer.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using test::error_of;
using test::ScratchFolder;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int32_t> counting(int32_t n) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

bool same(const Batch& a, const Batch& b) {
  return a.tokens == b.tokens && a.positions == b.positions && a.starts == b.starts && a.labels == b.labels;
}

template <class T>
std::vector<T> slice(const std::vector<T>& list, size_t begin, size_t count) {
  return {list.begin() + static_cast<ptrdiff_t>(begin), list.begin() + static_cast<ptrdiff_t>(begin + count)};
}

TEST(RandomWindows, AreConsecutiveTokensLabelledWithTheNext) {
  RandomWindows loader(counting(100), {.batch = 5, .seq = 7, .seed = 3});
  Batch batch = loader.at(11);
  ASSERT_EQ(batch.tokens.size(), 35u);
  EXPECT_EQ(batch.counted(), 35);
  for (size_t row = 0; row < 35; ++row) {
    EXPECT_EQ(batch.starts[row], static_cast<int32_t>(row / 7 * 7));
    EXPECT_EQ(batch.positions[row], static_cast<int32_t>(row % 7));
    EXPECT_EQ(batch.labels[row], batch.tokens[row] + 1);
    if (row % 7 > 0) {
      EXPECT_EQ(batch.tokens[row], batch.tokens[row - 1] + 1);
    }
  }
}

TEST(RandomWindows, DependOnSeedAndIndexOnly) {
  LoaderOptions options{.batch = 4, .seq = 8, .seed = 1};
  RandomWindows a(counting(1000), options), b(counting(1000), options);
  Batch later = a.at(9);
  a.at(0);
  EXPECT_TRUE(same(later, a.at(9)));
  EXPECT_TRUE(same(later, b.at(9)));
  EXPECT_FALSE(same(later, a.at(10)));
  options.seed = 2;
  EXPECT_FALSE(same(later, RandomWindows(counting(1000), options).at(9)));
}

TEST(RandomWindows, SmallBatchesAddUpToALargeOne) {
  RandomWindows large(counting(1000), {.batch = 12, .seq = 8}), small(counting(1000), {.batch = 3, .seq = 8});
  Batch whole = large.at(5);
  for (int64_t part = 0; part < 4; ++part)
    EXPECT_EQ(small.at(5 * 4 + part).tokens, slice(whole.tokens, static_cast<size_t>(part) * 24, 24));
}

TEST(RandomWindows, ReachTheFirstAndTheLastPlace) {
  RandomWindows loader(counting(10), {.batch = 200, .seq = 7});
  Batch batch = loader.at(0);
  std::set<int32_t> starts;
  for (size_t row = 0; row < batch.tokens.size(); row += 7) starts.insert(batch.tokens[row]);
  EXPECT_THAT(starts, ElementsAre(0, 1, 2));
  EXPECT_THAT(error_of([] { RandomWindows(counting(7), {.batch = 1, .seq = 7}); }),
              HasSubstr("7 tokens, a sequence of seq = 7 needs 8"));
}

TEST(SequentialWindows, CoverTheTextOnceAndPadTheLastBatch) {
  SequentialWindows loader(counting(30), {.batch = 3, .seq = 4});
  EXPECT_EQ(loader.windows(), 7);  // 29 tokens have a next one
  ASSERT_EQ(loader.batches(), 3);
  std::vector<int32_t> seen;
  for (int64_t i = 0; i < 3; ++i) {
    Batch batch = loader.at(i);
    for (size_t row = 0; row < 12; ++row) {
      if (batch.labels[row] == Batch::ignored) continue;
      seen.push_back(batch.tokens[row]);
      EXPECT_EQ(batch.labels[row], batch.tokens[row] + 1);
    }
  }
  EXPECT_EQ(seen, counting(28));
  Batch last = loader.at(2);
  EXPECT_EQ(last.counted(), 4);
  EXPECT_THAT(slice(last.starts, 4, 8), Each(Batch::padding));
  EXPECT_THAT(slice(last.labels, 4, 8), Each(Batch::ignored));
  EXPECT_THAT(slice(last.starts, 0, 4), Each(0));
}

TEST(Addition, WritesAndReadsAnswers) {
  Addition addition(3, 0.01);
  EXPECT_EQ(addition.prompt({12, 345}), "012+345=");
  EXPECT_EQ(addition.answer({12, 345}), "7530.");
  EXPECT_EQ(addition.answer({999, 999}), "8991.");
  EXPECT_EQ(addition.parse_answer("8991."), 1998);
  EXPECT_EQ(addition.parse_answer("8991"), 1998);
  for (std::string_view bad : {"", ".", "899", "89911", "8+91", "8991..", " 899"})
    EXPECT_EQ(addition.parse_answer(bad), std::nullopt) << bad;
  EXPECT_TRUE(addition.correct({12, 345}, "7530"));
  EXPECT_FALSE(addition.correct({12, 345}, "7531"));
  EXPECT_THAT(error_of([] { Addition(0, 0.1); }), HasSubstr("0 digits"));
  EXPECT_THAT(error_of([] { Addition(3, 0.6); }), HasSubstr("held_out = 0.6"));
}

TEST(Addition, HoldsOutSumsTogetherWithTheirTwins) {
  Addition addition(3, 0.01);
  std::vector<Sum> sums = addition.held_out_sums(1000);
  ASSERT_EQ(sums.size(), 1000u);
  EXPECT_EQ(sums, addition.held_out_sums(1000));
  std::set<std::pair<int64_t, int64_t>> pairs;
  for (const Sum& sum : sums) {
    EXPECT_TRUE(addition.held_out(sum));
    EXPECT_TRUE(addition.held_out({sum.b, sum.a}));
    pairs.insert(std::minmax(sum.a, sum.b));
  }
  EXPECT_EQ(pairs.size(), 1000u);
  int64_t count = 0;
  for (int64_t a = 0; a < 1000; ++a)
    for (int64_t b = a; b < 1000; ++b) count += addition.held_out({a, b});
  EXPECT_GT(count, 4700);  // 1 % of 500,500
  EXPECT_LT(count, 5300);
  EXPECT_THAT(error_of([] { Addition(1, 1e-6).held_out_sums(10); }), HasSubstr("leaves none to evaluate on"));
  EXPECT_LE(Addition(1, 0.5).held_out_sums(1000).size(), 55u);
  EXPECT_EQ(Addition(6, 0.01).held_out_sums(1000).size(), 1000u);
}

// The sum that a sequence of the batch asks for, read back from its tokens.
std::pair<std::string, std::string> read_row(const Batch& batch, size_t start) {
  CharTokenizer tokenizer = Addition::tokenizer();
  std::string asked, answered;
  for (size_t row = start; row < batch.tokens.size() && batch.starts[row] == static_cast<int32_t>(start);
       ++row) {
    asked += tokenizer.bytes_of(batch.tokens[row]);
    if (batch.labels[row] == tokenizer.eos())
      answered += '.';
    else if (batch.labels[row] != Batch::ignored)
      answered += tokenizer.bytes_of(batch.labels[row]);
  }
  return {asked, answered};
}

TEST(Addition, TrainsOnSumsThatAreNotHeldOut) {
  Addition addition(2, 0.3);
  auto loader = addition_training(addition, {.batch = 64, .seq = 12, .seed = 5});
  int differing = 0;
  for (int64_t i = 0; i < 20; ++i) {
    Batch batch = loader->at(i);
    EXPECT_TRUE(same(batch, loader->at(i)));
    EXPECT_EQ(batch.counted(), 64 * 4);  // three digits and the end
    for (size_t start = 0; start < batch.tokens.size(); start += 12) {
      auto [asked, answered] = read_row(batch, start);
      ASSERT_EQ(asked.size(), 9u);  // "12+34=640" of "12+34=640."
      Sum sum{std::stol(asked.substr(0, 2)), std::stol(asked.substr(3, 2))};
      EXPECT_FALSE(addition.held_out(sum)) << asked;
      EXPECT_EQ(asked, addition.prompt(sum) + addition.answer(sum).substr(0, 3));
      EXPECT_EQ(answered, addition.answer(sum));
      EXPECT_THAT(slice(batch.starts, start + 9, 3), Each(Batch::padding));
      differing += sum.a > sum.b;
    }
  }
  EXPECT_GT(differing, 400);
  EXPECT_THAT(error_of([&] { addition_training(addition, {.batch = 1, .seq = 8}); }), HasSubstr("needs 9"));
}

TEST(Addition, ListsSumsInBatches) {
  Addition addition(3, 0.01);
  auto loader = addition_batches(addition, {{1, 2}, {30, 40}, {999, 1}}, {.batch = 2, .seq = 12});
  ASSERT_EQ(loader->batches(), 2);
  EXPECT_EQ(read_row(loader->at(0), 12), std::pair(std::string("030+040=0700"), std::string("0700.")));
  EXPECT_EQ(read_row(loader->at(1), 0).second, "0001.");
  EXPECT_EQ(loader->at(1).counted(), 5);
}

Config config_for(std::string_view data, std::vector<std::string> overrides = {}) {
  std::string text = fmt::format(R"(
[model]
kind = "gpt2"
layers = 1
heads = 1
width = 8
seq = 12
{}
[train]
steps = 1
batch = 2
lr = 1
)",
                                 data);
  return parse_config(text, "c.toml", {.overrides = overrides, .cores = 1});
}

TEST(Dataset, OpensAddition) {
  Dataset set = open_dataset(config_for("[data]\nkind = \"addition\""));
  EXPECT_EQ(set.vocab, 13);
  EXPECT_EQ(set.tokenizer->eos(), 12);
  EXPECT_EQ(set.validation->batches(), 500);
  EXPECT_EQ(set.train->at(0).counted(), 2 * 5);
  EXPECT_EQ(open_dataset(config_for("vocab = 16\n[data]\nkind = \"addition\"")).vocab, 16);
  EXPECT_THAT(error_of([] { open_dataset(config_for("vocab = 12\n[data]\nkind = \"addition\"")); }),
              HasSubstr("[model] vocab: 12 is fewer than the 13 tokens"));
}

TEST(Dataset, CutsATextInNineTenthsAndTheRest) {
  ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i < 270 ? 'a' + i % 3 : 'x' + i % 3);
  std::string data =
      fmt::format("[data]\nkind = \"text\"\npath = \"{}\"", folder.write("t.txt", text).string());
  Dataset set = open_dataset(config_for(data));
  EXPECT_EQ(set.vocab, 6);
  EXPECT_EQ(set.validation->batches(), 1);
  EXPECT_EQ(set.validation->at(0).counted(), 24);
  EXPECT_GE(std::ranges::min(slice(set.validation->at(0).tokens, 0, 24)), 3);
  for (int64_t i = 0; i < 50; ++i) EXPECT_LT(std::ranges::max(set.train->at(i).labels), 3);
  EXPECT_EQ(open_dataset(config_for(data, {"data.tokenizer=byte"})).vocab, 256);
}

TEST(Dataset, NamesTheFileThatCannotBeUsed) {
  ScratchFolder folder;
  auto refusal = [&](std::string_view text, std::vector<std::string> overrides = {}) {
    folder.write("t.txt", text);
    std::string data = fmt::format("[data]\nkind = \"text\"\npath = \"{}\"", (folder / "t.txt").string());
    return error_of([&] { open_dataset(config_for(data, overrides)); });
  };
  EXPECT_THAT(refusal(""), HasSubstr("t.txt: is empty"));
  EXPECT_THAT(refusal("abc\xff"), HasSubstr("t.txt: is not valid UTF-8 at byte 3"));
  EXPECT_THAT(refusal("abc\xff", {"data.tokenizer=byte"}), HasSubstr("t.txt: is not valid UTF-8 at byte 3"));
  EXPECT_THAT(refusal("too short"), HasSubstr("t.txt: the text has 8 tokens"));
  EXPECT_THAT(refusal(std::string(100, 'a')), HasSubstr("10 tokens, a sequence of seq = 12 needs 13"));
  save_tokenizer(folder.path, CharTokenizer("ab"));
  std::string tokenizer = "data.tokenizer=" + (folder / "tokenizer.json").string();
  EXPECT_THAT(refusal("abc", {tokenizer}), HasSubstr("t.txt: character 'c' (U+0063, byte 2 of the text)"));
  EXPECT_THAT(refusal("abc", {"data.tokenizer=none.json"}), HasSubstr("none.json: no such file"));
  EXPECT_THAT(error_of([] { open_dataset(config_for("[data]\nkind = \"text\"\npath = \"none.txt\"")); }),
              HasSubstr("none.txt: no such file"));
}

TEST(Dataset, CutsTinyShakespeareAsTheReferenceDoes) {
  if (!test::data_folder()) GTEST_SKIP() << "TESSERA_DATA is not set: tinyshakespeare is not there";
  Dataset set =
      open_dataset(config_for("[data]\nkind = \"text\"\npath = \"${TESSERA_DATA}/tinyshakespeare/input.txt\"",
                              {"model.seq=64", "train.batch=12"}));
  EXPECT_EQ(set.vocab, 65);
  EXPECT_EQ(set.validation->batches(), 146);  // 111,540 characters: 1,742 windows of 64
  int64_t counted = 0;
  for (int64_t i = 0; i < set.validation->batches(); ++i) counted += set.validation->at(i).counted();
  EXPECT_EQ(counted, 1742 * 64);
}

}  // namespace
}  // namespace tessera
