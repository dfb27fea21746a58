// The training configuration: defaults, overrides, the reference settings, one clear line for each mistake.
// SPDX-License-Identifier: Apache-2.0
#include "models/config/config.hpp"

#include <cstdlib>

#include "tests/models/scratch.hpp"

namespace tessera {
namespace {

using test::error_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view small = R"(
[model]
kind = "gpt2"
layers = 3
heads = 4
width = 128
seq = 12
[data]
kind = "addition"
[train]
steps = 2400
batch = 128
lr = 1e-3
)";

Config with(std::vector<std::string> overrides, std::string_view text = small) {
  return parse_config(text, "c.toml", {.overrides = overrides, .cores = 4});
}
std::string refusal(std::vector<std::string> overrides, std::string_view text = small) {
  return error_of([&] { with(overrides, text); });
}
std::string without(std::string_view line) {
  std::string text(small);
  size_t at = text.find(line);
  EXPECT_NE(at, text.npos) << line;
  return text.erase(at, text.find('\n', at) - at);
}

TEST(Config, FillsInTheDocumentedDefaults) {
  Config c = with({});
  EXPECT_EQ(c.model.kv_heads, 4);
  EXPECT_EQ(c.model.ffn, 512);
  EXPECT_EQ(c.model.vocab, 0);
  EXPECT_TRUE(c.model.bias);
  EXPECT_TRUE(c.model.tied);
  EXPECT_EQ(c.model.activation, ActivationKind::gelu_tanh);
  EXPECT_EQ(c.data.digits, 3);
  EXPECT_EQ(c.train.accumulate, 1);
  EXPECT_EQ(c.train.optimizer, OptimizerKind::adamw);
  EXPECT_EQ(c.train.min_lr, 1e-4);
  EXPECT_EQ(c.run.workers, 4);
  EXPECT_THAT(c.run.devices, ElementsAre("cpu"));
  EXPECT_EQ(c.run.dtype, DType::f32);
  EXPECT_EQ(c.run.tiling, "auto");

  Config llama = with({"model.kind=llama", "model.width=512", "model.heads=8"});
  EXPECT_EQ(llama.model.ffn, 1408);
  EXPECT_FALSE(llama.model.bias);
  EXPECT_FALSE(llama.model.tied);
  EXPECT_EQ(llama.model.activation, ActivationKind::silu);
}

// The settings of the reference trainer of a character GPT, each of them.
TEST(Config, ExpressesTheReferenceCharacterModel) {
  ::setenv("TESSERA_TEST_TEXT", "/data/of", 1);
  Config c = parse_config(R"(
[model]
kind = "gpt2"
layers = 4
heads = 4
kv_heads = 4
width = 128
ffn = 512
vocab = 65
seq = 64
bias = false
activation = "gelu"
tied = true
[data]
kind = "text"
path = "${TESSERA_TEST_TEXT}/input.txt"
tokenizer = "char"
[train]
steps = 2000
batch = 12
optimizer = "adamw"
lr = 1e-3
min_lr = 1e-4
warmup = 100
schedule = "cosine"
betas = [0.9, 0.99]
weight_decay = 0.1
clip = 1
dropout = 0
[run]
workers = 2
devices = ["cpu"]
scheduler = "prio"
dtype = "bf16"
tiling = "rows=64"
trace = "t.json"
)",
                          "c.toml", {.cores = 2});
  EXPECT_EQ(c.model, (ModelConfig{.kind = ModelKind::gpt2,
                                  .layers = 4,
                                  .heads = 4,
                                  .kv_heads = 4,
                                  .width = 128,
                                  .ffn = 512,
                                  .vocab = 65,
                                  .seq = 64,
                                  .bias = false,
                                  .activation = ActivationKind::gelu}));
  EXPECT_EQ(c.data.path, "/data/of/input.txt");
  EXPECT_EQ(c.train.betas, (std::array{0.9, 0.99}));
  EXPECT_EQ(c.train.clip, 1.0);
  EXPECT_EQ(c.run.workers, 2);
  EXPECT_EQ(c.run.devices, std::vector<std::string>{"cpu"});
  EXPECT_EQ(c.run.scheduler, "prio");
  EXPECT_EQ(c.run.dtype, DType::bf16);
  EXPECT_EQ(c.run.tiling, "rows=64");
  EXPECT_EQ(c.run.trace, "t.json");
}

TEST(Config, ReadsBackWhatItWrites) {
  Config c =
      with({"train.eps=1e-12", "train.betas=[0.1, 0.123456789012345678]", "run.trace=a \"b\"\\\n\x7f.json",
            "run.devices=[\"cpu\"]", "run.host_memory=64", "run.device_memory=32", "run.swap=/a 'b",
            "train.seed=9223372036854775807", "model.vocab=13"});
  EXPECT_EQ(parse_config(to_toml(c), "again", {.cores = 4}), c);
  Config text = with({"data.kind=text", "data.path=é/x.txt", "data.tokenizer=byte", "model.kind=llama"});
  EXPECT_EQ(parse_config(to_toml(text), "again", {.cores = 4}), text);
}

TEST(Config, OverridesReplaceAddAndKeepTheLast) {
  Config c = with({"train.steps=20", "train.steps=21", "run.scheduler=lws", "data.kind='text'",
                   "data.path=a=b.txt", "train.lr=2", "model.tied=false"});
  EXPECT_EQ(c.train.steps, 21);
  EXPECT_EQ(c.run.scheduler, "lws");
  EXPECT_EQ(c.data.path, "a=b.txt");
  EXPECT_EQ(c.train.lr, 2.0);
  EXPECT_FALSE(c.model.tied);
  EXPECT_THAT(refusal({"train.steps"}), HasSubstr("--set 'train.steps': is not of the form table.key=value"));
  EXPECT_THAT(refusal({"steps=4"}), HasSubstr("form table.key=value"));
  EXPECT_THAT(refusal({"=4"}), HasSubstr("form table.key=value"));
  EXPECT_THAT(refusal({"train.=4"}), HasSubstr("form table.key=value"));
  EXPECT_THAT(refusal({"trian.steps=4"}), HasSubstr("unknown table 'trian', is 'train' meant?"));
  EXPECT_THAT(refusal({"train.step=4"}), HasSubstr("c.toml: [train] 'step': unknown key, is 'steps' meant?"));
  EXPECT_THAT(refusal({"train.steps=many"}),
              HasSubstr("[train] steps: must be a whole number, not a string"));
  EXPECT_THAT(refusal({"data.path=\xff"}), HasSubstr("is not UTF-8"));
}

struct Mistake {
  std::vector<std::string> overrides;
  std::string_view message;
};

TEST(Config, NamesTableKeyAndTheWayOutOfAMistake) {
  const Mistake mistakes[] = {
      {{"model.layerz=3"}, "[model] 'layerz': unknown key, is 'layers' meant?"},
      {{"model.colour=3"}, "[model] 'colour': unknown key; known are kind, layers, heads"},
      {{"model.kind=gpt"}, "[model] kind: 'gpt' is not known, is 'gpt2' meant?"},
      {{"model.kind=3"}, "[model] kind: must be a string"},
      {{"model.layers=1000000000"}, "[model] layers: 1000000000 is out of range; 1 to 4096"},
      {{"model.layers=-1"}, "[model] layers: -1 is out of range"},
      {{"model.layers=0"}, "[model] layers: 0 is out of range"},
      {{"model.layers=3.0"}, "[model] layers: must be a whole number, not a number"},
      {{"model.layers=[3]"}, "[model] layers: must be a whole number, not a list"},
      {{"model.layers=2020-01-01"}, "not a date or time"},
      {{"model.width=130"},
       "[model] width: 130 is not divisible by heads = 4; choose a multiple, such as 132"},
      {{"model.width=9223372036854775807"}, "[model] width: 9223372036854775807 is out of range"},
      {{"model.heads=0"}, "[model] heads: 0 is out of range"},
      {{"model.kind=llama", "model.kv_heads=3"}, "[model] kv_heads: 3 does not divide heads = 4"},
      {{"model.kv_heads=2"}, "[model] kv_heads: 2 differs from heads = 4"},
      {{"model.kind=llama", "model.width=12"}, "[model] width: 12 over 4 heads gives heads of odd size 3"},
      {{"model.kind=llama", "model.activation=gelu"}, "[model] activation: a llama's feed-forward is gated"},
      {{"model.activation=silu"}, "[model] activation: silu is llama's"},
      {{"model.activation=relu"}, "[model] activation: 'relu' is not known"},
      {{"model.vocab=0"}, "[model] vocab: 0 is out of range"},
      {{"model.seq=10000000"}, "[model] seq: 10000000 is out of range"},
      {{"model.tied=1"}, "[model] tied: must be true or false"},
      {{"model.norm_eps=0"}, "[model] norm_eps: 0 is out of range"},
      {{"data.kind=images"}, "[data] kind: 'images' is not known; known are addition and text"},
      {{"data.path=x.txt"}, "[data] path: belongs to kind = \"text\" only"},
      {{"data.digits=9"}, "[data] digits: 9 is out of range"},
      {{"data.kind=text"}, "[data] path: missing"},
      {{"data.kind=text", "data.path="}, "[data] path: is empty"},
      {{"data.kind=text", "data.path=x", "data.digits=3"}, "[data] digits: belongs to kind = \"addition\""},
      {{"data.kind=text", "data.path=x", "data.tokenizer=word"}, "[data] tokenizer: 'word' is not known"},
      {{"data.kind=text", "data.path=${TESSERA_NOT_SET}/x"},
       "environment variable 'TESSERA_NOT_SET' is not set"},
      {{"data.kind=text", "data.path=${HOME"}, "that no } closes"},
      {{"train.steps=0"}, "[train] steps: 0 is out of range"},
      {{"train.batch=-4"}, "[train] batch: -4 is out of range"},
      {{"train.batch=1000000", "model.seq=1000000"},
       "[train] batch: 1000000 sequences of 1000000, 1 times a step, are more"},
      {{"train.batch=1000000", "train.accumulate=1000"}, "more than the 1073741824 rows a step may have"},
      {{"train.lr=nan"}, "[train] lr: must be a finite number"},
      {{"train.lr=-1"}, "[train] lr: -1 is out of range"},
      {{"train.min_lr=1"}, "[train] min_lr: 1 is out of range; 0 to 0.001"},
      {{"train.warmup=-1"}, "[train] warmup: -1 is out of range"},
      {{"train.betas=[0.9]"}, "[train] betas: must be a list of two numbers"},
      {{"train.betas=[0.9, 1]"}, "[train] betas: must be below 1"},
      {{"train.betas=[0.9, \"x\"]"}, "[train] betas: must be a number, not a string"},
      {{"train.dropout=1"}, "[train] dropout: 1 is out of range"},
      {{"train.optimizer=adanw"}, "[train] optimizer: 'adanw' is not known, is 'adamw' meant?"},
      {{"train.recompute=all"}, "[train] recompute: 'all' is not known"},
      {{"train.seed=-1"}, "[train] seed: -1 is out of range"},
      {{"run.workers=0"}, "[run] workers: 0 cannot work; 1 to 4 is possible"},
      {{"run.workers=5"}, "[run] workers: 5 is more than the 4 cores"},
      {{"run.devices=gpu"}, "[run] devices: 'gpu' is not known"},
      {{"run.devices=[\"cpu\", \"opencl\"]"},
       "[run] devices: 'opencl' names no device; opencl:0 is the first"},
      {{"run.devices=[\"opencl:0\"]"}, "[run] devices: there are no CPU workers"},
      {{"run.devices=[\"cpu:0\"]"}, "[run] devices: 'cpu:0' is not cpu or cpu:N"},
      {{"run.devices=[\"cpu:1000\"]"}, "[run] devices: cpu:1000 is more than"},
      {{"run.devices=[\"cpu\", \"cuda:1\", \"cuda:1\"]"}, "[run] devices: cuda:1 is there twice"},
      {{"run.swap=/tmp"}, "[run] swap: is for what host_memory leaves no room for"},
      {{"run.host_memory=0"}, "[run] host_memory: 0 is out of range; 1 to"},
      {{"run.device_memory=lots"}, "[run] device_memory: must be a whole number"},
      {{"run.devices=[]"}, "[run] devices: is an empty list"},
      {{"run.devices=[1]"}, "[run] devices: must be a list of strings, but holds a whole number"},
      {{"run.dtype=f16"}, "[run] dtype: 'f16' is not known"},
      {{"run.scheduler="}, "[run] scheduler: is empty"},
      {{"run.tiling="}, "[run] tiling: is empty"},
  };
  for (const Mistake& mistake : mistakes) {
    std::string message = refusal(mistake.overrides);
    EXPECT_THAT(message, HasSubstr(mistake.message));
    EXPECT_THAT(message, StartsWith("c.toml: [")) << mistake.message;
  }
}

TEST(Config, NamesTheKeyThatIsMissing) {
  for (std::string_view line : {"layers", "heads", "width", "seq", "steps", "batch", "lr"})
    EXPECT_THAT(refusal({}, without(fmt::format("{} =", line))),
                HasSubstr(fmt::format("] {}: missing", line)));
  EXPECT_THAT(refusal({}, ""), HasSubstr("c.toml: [model] kind: missing"));
  EXPECT_THAT(refusal({}, without("kind = \"addition\"")), HasSubstr("[data] kind: missing"));
}

TEST(Config, RefusesWhatIsNoConfiguration) {
  EXPECT_THAT(refusal({}, "[model\n"), HasSubstr("c.toml:1:7: not valid TOML"));
  EXPECT_THAT(refusal({}, "a = 1\na = 2\n"), HasSubstr("c.toml:2:5: not valid TOML"));
  EXPECT_THAT(refusal({}, "a = \"\xff\"\n"), HasSubstr("not valid TOML"));
  EXPECT_THAT(refusal({}, "x = 9223372036854775808\n"), HasSubstr("not valid TOML"));
  EXPECT_THAT(refusal({}, std::string(100000, '[')), HasSubstr("not valid TOML"));
  EXPECT_THAT(refusal({}, std::string(small) + "[modle]\n"),
              HasSubstr("unknown table 'modle', is 'model' meant?"));
  EXPECT_THAT(refusal({}, "model = 3\n"), HasSubstr("model must be a table"));
  EXPECT_THAT(refusal({"model.layers=3"}, "model = 3\n"), HasSubstr("model must be a table"));
  test::ScratchFolder folder;
  EXPECT_THAT(error_of([&] { load_config(folder / "none.toml"); }), HasSubstr("none.toml: no such file"));
  EXPECT_EQ(load_config(folder.write("c.toml", small), {.cores = 4}), with({}));
}

}  // namespace
}  // namespace tessera
