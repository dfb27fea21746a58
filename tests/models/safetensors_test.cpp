// safetensors: what is written is read back alike, and every damaged file is refused by one clear line.
// SPDX-License-Identifier: Apache-2.0
#include "models/checkpoint/safetensors.hpp"

#include <cstring>

#include "runtime/core/f16.hpp"
#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using test::error_of;
using test::ScratchFolder;
using testing::ElementsAre;
using testing::HasSubstr;

std::string file_with(std::string_view header, size_t data_bytes) {
  uint64_t length = header.size();
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out + std::string(header) + std::string(data_bytes, '\1');
}

std::string slurp(const std::filesystem::path& file) { return read_file(file); }

template <class T>
NamedArray array(std::string name, DType type, std::vector<int64_t> shape, const std::vector<T>& values) {
  return {std::move(name), type, std::move(shape), std::as_bytes(std::span(values))};
}

template <class T>
std::vector<T> values_of(const TensorEntry& entry, DType type) {
  size_t bytes = 1;
  for (int64_t extent : entry.shape) bytes *= static_cast<size_t>(extent);
  std::vector<T> out(bytes);
  entry.read(entry.shape, type, std::as_writable_bytes(std::span(out)));
  return out;
}

TEST(Safetensors, RoundTripOfEveryDtypeAndShape) {
  ScratchFolder folder;
  std::vector<float> floats{1, -2, 3.5f, 4, 5, 6};
  std::vector<uint16_t> halves{0x3c00, 0xc000, 0x3f80};
  std::vector<int32_t> ints{-7};
  std::vector<std::byte> none;
  write_safetensors(
      folder / "a.safetensors",
      std::array{array("scalar", DType::i32, {}, ints), array("b", DType::bf16, {3}, halves),
                 array("f16", DType::f16, {1, 3}, halves), array("w", DType::f32, {2, 3}, floats),
                 array("nothing", DType::f32, {4, 0}, none)});
  auto file = SafetensorsFile::open(folder / "a.safetensors");
  ASSERT_EQ(file.entries().size(), 5u);
  ASSERT_TRUE(file.find("w"));
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_THAT(file.find("w")->shape, ElementsAre(2, 3));
  EXPECT_EQ(values_of<float>(*file.find("w"), DType::f32), floats);
  EXPECT_EQ(values_of<int32_t>(*file.find("scalar"), DType::i32), ints);
  EXPECT_THAT(values_of<float>(*file.find("f16"), DType::f32), ElementsAre(1, -2, 1.875f));
  EXPECT_THAT(values_of<float>(*file.find("b"), DType::f32), ElementsAre(0x1p-7f, -2, 1));
}

TEST(Safetensors, WritesEqualBytesWhateverTheOrder) {
  ScratchFolder folder;
  std::vector<float> floats{1, 2, 3};
  std::vector<uint16_t> halves{1};
  auto a = array("a", DType::bf16, {1}, halves);
  auto b = array("b", DType::f32, {3}, floats);
  auto c = array("c", DType::f32, {1, 3}, floats);
  write_safetensors(folder / "1", std::array{a, b, c});
  write_safetensors(folder / "2", std::array{c, a, b});
  EXPECT_EQ(slurp(folder / "1"), slurp(folder / "2"));
  EXPECT_EQ(folder.entries(), 2u);

  std::string bytes = slurp(folder / "1");
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_THAT(bytes.substr(8, header), HasSubstr(R"("__metadata__":{"format":"pt"})"));
  const SafetensorsFile file = SafetensorsFile::open(folder / "1");
  for (const TensorEntry& entry : file.entries())
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.bytes.data()) % (entry.name == "a" ? 2 : 4), 0u)
        << entry.name;
}

TEST(Safetensors, ConvertsBetweenFloatsAndNarrowsWhatFits) {
  ScratchFolder folder;
  std::string header = R"({"n":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}})";
  int64_t numbers[] = {5, -6};
  std::string bytes = file_with(header, 16);
  std::memcpy(bytes.data() + bytes.size() - 16, numbers, 16);
  auto file = SafetensorsFile::open(folder.write("n", bytes));
  EXPECT_THAT(values_of<int32_t>(file.entries()[0], DType::i32), ElementsAre(5, -6));
  EXPECT_THAT(error_of([&] { values_of<float>(file.entries()[0], DType::f32); }), HasSubstr("stored as I64"));
  numbers[1] = int64_t{1} << 40;
  std::memcpy(bytes.data() + bytes.size() - 16, numbers, 16);
  auto wide = SafetensorsFile::open(folder.write("wide", bytes));
  EXPECT_THAT(error_of([&] { values_of<int32_t>(wide.entries()[0], DType::i32); }),
              HasSubstr("1099511627776"));

  std::vector<float> floats{1.00390625f, 3e38f, -0.0f};
  write_safetensors(folder / "f", std::array{array("x", DType::f32, {3}, floats)});
  auto stored = SafetensorsFile::open(folder / "f");
  EXPECT_EQ(values_of<uint16_t>(stored.entries()[0], DType::bf16)[0], bf16(floats[0]).bits);
  EXPECT_EQ(values_of<uint16_t>(stored.entries()[0], DType::f16)[1], 0x7c00);
  EXPECT_THAT(error_of([&] { values_of<int32_t>(stored.entries()[0], DType::i32); }),
              HasSubstr("read as i32"));
}

TEST(Safetensors, RefusesAShapeThatIsNotTheModels) {
  ScratchFolder folder;
  std::vector<float> floats(6);
  write_safetensors(folder / "f", std::array{array("x", DType::f32, {2, 3}, floats)});
  auto file = SafetensorsFile::open(folder / "f");
  std::string message = error_of([&] {
    file.entries()[0].read(std::array<int64_t, 2>{3, 2}, DType::f32,
                           std::as_writable_bytes(std::span(floats)));
  });
  EXPECT_THAT(message, HasSubstr("tensor 'x' is [2, 3], the model needs [3, 2]"));
  EXPECT_THAT(message, HasSubstr((folder / "f").string()));
}

struct BadFile {
  std::string_view header;
  size_t data_bytes;
  std::string_view message;
};

TEST(Safetensors, NamesTheTensorAndTheFaultOfADamagedHeader) {
  const BadFile files[] = {
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 8, "not valid JSON"},
      {R"([])", 0, "does not start with '{'"},
      {R"( {})", 0, "does not start with '{'"},
      {"{\"\xff\":1}", 0, "not valid JSON"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}})",
       8, "key 'w' appears twice"},
      {R"({"w":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8,
       "key 'shape' appears twice"},
      {R"({"w":5})", 0, "tensor 'w' needs the keys"},
      {R"({"w":{"dtype":"F32","shape":[2]}})", 8, "tensor 'w' needs the keys"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8, "tensor 'w' needs the keys"},
      {R"({"w":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8, "tensor 'w' has a dtype that is not"},
      {R"({"w":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8,
       "tensor 'w' has the unknown dtype 'F31'"},
      {R"({"w":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "tensor 'w' has a shape that is not"},
      {R"({"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "tensor 'w' has a shape that is not"},
      {R"({"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8,
       "tensor 'w' has a shape that is not"},
      {R"({"w":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}})", 8,
       "a shape that is not"},
      {R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "more elements"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "tensor 'w' has data_offsets that"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8, "tensor 'w' has data_offsets that"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "tensor 'w' lies at bytes 8 to 0"},
      {R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", 8, "outside the 8 bytes"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615]}})", 8,
       "tensor 'w' lies at bytes"},
      {R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8,
       "holds 8 bytes, its shape and dtype need 12"},
      {R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       12, "tensors 'v' and 'w' overlap"},
      {R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       8, "tensors 'v' and 'w' overlap"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "4 bytes before tensor 'w'"},
      {R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9,
       "the last 1 bytes belong to no tensor"},
      {R"({"__metadata__":{"format":7}})", 0, "__metadata__"},
      {R"({"__metadata__":"pt"})", 0, "__metadata__"},
  };
  ScratchFolder folder;
  for (const BadFile& bad : files) {
    auto file = folder.write("bad.safetensors", file_with(bad.header, bad.data_bytes));
    std::string message = error_of([&] { SafetensorsFile::open(file); });
    EXPECT_THAT(message, HasSubstr(bad.message)) << bad.header;
    EXPECT_THAT(message, HasSubstr(file.string())) << bad.header;
  }
}

TEST(Safetensors, RefusesWhatIsNoSuchFile) {
  ScratchFolder folder;
  auto open = [&](std::string_view bytes) {
    return error_of([&] { SafetensorsFile::open(folder.write("x", bytes)); });
  };
  EXPECT_THAT(error_of([&] { SafetensorsFile::open(folder / "none"); }), HasSubstr("none: no such file"));
  EXPECT_THAT(error_of([&] { SafetensorsFile::open(folder.path); }), HasSubstr("is a folder"));
  EXPECT_THAT(error_of([&] { SafetensorsFile::open("/dev/zero"); }), HasSubstr("not a regular file"));
  EXPECT_THAT(open(""), HasSubstr("is empty"));
  EXPECT_THAT(open("1234567"), HasSubstr("too short"));
  std::string huge(16, '\0');
  huge[7] = '\x80';  // 2^63
  EXPECT_THAT(open(huge), HasSubstr("says its header is 9223372036854775808 bytes long"));
  huge[7] = '\xff', huge[0] = '\xff';
  EXPECT_THAT(open(huge), HasSubstr("at most 100000000"));
  EXPECT_THAT(open(file_with("{}", 0).substr(0, 9)), HasSubstr("truncated"));
  EXPECT_THAT(open(file_with(std::string(5000, '['), 0)), HasSubstr("does not start"));
  EXPECT_THAT(open(file_with("{\"a\":" + std::string(5000, '['), 0)), HasSubstr("nested deeper"));
}

TEST(Safetensors, EveryTruncationOfAGoodFileIsRefused) {
  ScratchFolder folder;
  std::vector<float> floats{1, 2, 3};
  write_safetensors(folder / "f", std::array{array("x", DType::f32, {3}, floats)});
  std::string bytes = slurp(folder / "f");
  for (size_t length = 0; length < bytes.size(); ++length) {
    std::string cut = bytes.substr(0, length);
    EXPECT_THROW(SafetensorsFile::parse(std::as_bytes(std::span(cut)), "cut"), Error) << length;
  }
}

TEST(Safetensors, WriterRefusesWhatItCouldNotReadBack) {
  ScratchFolder folder;
  std::vector<float> floats{1, 2, 3};
  auto write = [&](const NamedArray& a, const NamedArray& b) {
    return error_of([&] { write_safetensors(folder / "w", std::array{a, b}); });
  };
  auto good = array("a", DType::f32, {3}, floats);
  EXPECT_THAT(write(good, good), HasSubstr("two tensors are called 'a'"));
  EXPECT_THAT(write(good, array("b", DType::f32, {4}, floats)),
              HasSubstr("12 bytes, its shape and dtype need 16"));
  EXPECT_THAT(write(good, array("b", DType::f32, {-3}, floats)), HasSubstr("impossible shape"));
  EXPECT_THAT(write(good, array("__metadata__", DType::f32, {3}, floats)), HasSubstr("cannot name"));
  EXPECT_THAT(write(good, array("\xff", DType::f32, {3}, floats)), HasSubstr("'\\xff' cannot name"));
  EXPECT_EQ(folder.entries(), 0u);
  EXPECT_THAT(error_of([&] { write_safetensors(folder / "no/such/folder", std::array{good}); }),
              HasSubstr("choose a folder that exists"));
}

TEST(Safetensors, AFullDiskLeavesTheOldFileAndNothingElse) {
  EXPECT_TRUE(test::on_a_small_disk(256 << 10, [](const ScratchFolder& folder) {
    std::vector<float> small(16, 1), large(1 << 20, 2);
    write_safetensors(folder / "w", std::array{array("x", DType::f32, {16}, small)});
    std::string before = slurp(folder / "w");
    std::string message = test::thrown<Failure>(
        [&] { write_safetensors(folder / "w", std::array{array("x", DType::f32, {1 << 20}, large)}); });
    return message.find("the disk is full") != message.npos && slurp(folder / "w") == before &&
           folder.entries() == 1;
  }));
}

class Shards : public testing::Test {
 protected:
  void SetUp() override {
    write_safetensors(folder_ / "model-1.safetensors", std::array{array("b", DType::f32, {1}, one_)});
    write_safetensors(folder_ / "model-2.safetensors",
                      std::array{array("a", DType::f32, {1}, two_), array("c", DType::f32, {1}, one_)});
  }
  std::string open(std::string_view index) {
    folder_.write("model.safetensors.index.json", index);
    return error_of([&] { ModelWeights::open(folder_.path); });
  }

  ScratchFolder folder_;
  std::vector<float> one_{1}, two_{2};
};

TEST_F(Shards, AreReadThroughTheirIndex) {
  folder_.write("model.safetensors.index.json", R"({"metadata":{"total_size":12},"weight_map":{
    "a":"model-2.safetensors","b":"model-1.safetensors","c":"model-2.safetensors"}})");
  ModelWeights weights = ModelWeights::open(folder_.path);
  ModelWeights moved = std::move(weights);
  ASSERT_EQ(moved.entries().size(), 3u);
  EXPECT_EQ(values_of<float>(moved.at("a"), DType::f32), two_);
  EXPECT_EQ(values_of<float>(moved.at("b"), DType::f32), one_);
  EXPECT_THAT(error_of([&] { moved.at("d"); }), HasSubstr("has no tensor 'd'"));
}

TEST_F(Shards, ThatDoNotHoldWhatTheIndexSaysAreRefused) {
  EXPECT_THAT(open("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(open("{}"), HasSubstr("needs a weight_map"));
  EXPECT_THAT(open(R"({"weight_map":{}})"), HasSubstr("needs a weight_map"));
  EXPECT_THAT(open(R"({"weight_map":{"a":1}})"), HasSubstr("shard of tensor 'a'"));
  EXPECT_THAT(open(R"({"weight_map":{"a":"../x"}})"), HasSubstr("no file name beside the index"));
  EXPECT_THAT(open(R"({"weight_map":{"a":".."}})"), HasSubstr("no file name beside the index"));
  EXPECT_THAT(open(R"({"weight_map":{"a":"model-3.safetensors"}})"),
              HasSubstr("model-3.safetensors: no such file"));
  EXPECT_THAT(open(R"({"weight_map":{"a":"model-1.safetensors"}})"), HasSubstr("tensor 'a' is not in"));
  EXPECT_THAT(open(R"({"weight_map":{"a":"model-2.safetensors"}})"), HasSubstr("holds 2 tensors"));
}

TEST_F(Shards, NeitherFileNorIndexNamesTheFileThatIsMissing) {
  EXPECT_THAT(error_of([&] { ModelWeights::open(folder_.path); }),
              HasSubstr("model.safetensors: no such file"));
}

}  // namespace
}  // namespace tessera
