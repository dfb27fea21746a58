// Every bad input that `tessera` may be given: one clear line, the right exit code, no hang, nothing
// half-written.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "tests/tools/bad_inputs.hpp"

namespace tessera {
namespace {

struct Row {
  std::string arguments;
  int code;                         // 2: the user's mistake, 1: a failure
  std::vector<std::string> told;    // the thing, and the way out
  std::string limits = "true";      // commands of a shell that come before
  std::set<std::string> kept = {};  // new files that are whole and may stay
};

const std::string small_disk = "trap '' XFSZ; ulimit -f 4", no_room = "free some space";
const std::string damaged = "the file is damaged or incomplete: save or download it again";

Row generate(const std::string& model, std::vector<std::string> told) {
  return {"generate " + model + " --prompt-ids 1 --max-new 1", 2, std::move(told)};
}
Row eval(const std::string& options, std::vector<std::string> told) {
  return {"eval " + options, 2, std::move(told)};
}
Row train(const std::string& options, std::vector<std::string> told) {
  return {"train config.toml --out out " + options, 2, std::move(told)};
}
Row set(const std::string& setting, std::vector<std::string> told) {
  return train("--set " + setting, std::move(told));
}

std::vector<Row> weights() {
  return {
      generate("nowhere", {"nowhere/config.json", "no such file", "check the path"}),
      generate("no_weights", {"no_weights/model.safetensors", "no such file", "check the path"}),
      eval("no_weights --data text.txt", {"no_weights/model.safetensors", "no such file"}),
      generate("empty_weights", {"empty_weights/model.safetensors", "is empty", damaged}),
      eval("empty_weights --data text.txt", {"empty_weights/model.safetensors", "is empty", damaged}),
      generate("cut_length", {"is 5 bytes long, too short", damaged}),
      generate("cut_header", {"cut_header/model.safetensors", "is truncated", damaged}),
      generate("cut_data", {"cut_data/model.safetensors: tensor", "outside the", damaged}),
      eval("cut_data --data text.txt", {"cut_data/model.safetensors: tensor", "outside the", damaged}),
      generate("header_of_2_63", {"header is 9223372036854775808 bytes long", damaged}),
      generate("overlap", {"and 'transformer.ln_f.bias' overlap", damaged}),
      generate("out_of_range", {"'transformer.ln_f.bias' lies at bytes 1099511627776", "outside", damaged}),
      generate("wrong_shape", {"'transformer.ln_f.bias' is [2, 4]", "needs [8]", "config.json"}),
      generate("wrong_dtype", {"'transformer.ln_f.bias' is stored as I32", "store it as F32"}),
      generate("unknown_dtype", {"'transformer.ln_f.bias'", "unknown dtype 'F33'", damaged}),
      generate("other_name", {"has no tensor 'transformer.ln_f.bias'", "take the weights that belong"}),
      {"eval infinite_weights --data text.txt",
       1,
       {"infinite_weights", "not finite", "weights are damaged, or too large for f32"}},
      generate("shards", {"shards/model-1.safetensors", "no such file", "check the path"}),
      {"train config.toml --out cut_optimizer --resume --set train.steps=3",
       2,
       {"step-000002/optimizer.safetensors", damaged}},
      {"train config.toml --out bad_trainer --resume --set train.steps=3",
       2,
       {"step-000002/trainer.json", "remove this checkpoint"}},
      {"import cut.bin --out out", 2, {"cut.bin", "truncated"}},
      {"import negative.bin --out out", 2, {"negative.bin", "layers", "out of range"}},
      {"import empty.txt --out out", 2, {"empty.txt", "is 0 bytes long", "no llama2.c checkpoint"}},
  };
}

std::vector<Row> configurations() {
  return {
      set("model.layrs=3", {"config.toml", "[model] 'layrs'", "unknown key", "is 'layers' meant?"}),
      set("train.epochs=3", {"[train] 'epochs'", "unknown key", "known are steps, batch"}),
      set("modell.layers=3", {"unknown table 'modell'", "is 'model' meant?"}),
      set("layers=3", {"'layers=3'", "table.key=value"}),
      train("--host-memory 1", {"run.host_memory = 1", "the program alone takes", "allow"}),
      train("--host-memory 100000 --swap nowhere", {"run.swap = 'nowhere'", "name a folder that is there"}),
      train("--host-memory 100000 --swap file", {"run.swap = 'file'", "is no folder"}),
      train("--swap .", {"[run] swap", "host_memory", "set that as well"}),
      {"train no_lr.toml --out out", 2, {"no_lr.toml", "[train] lr", "missing", "set it"}},
      {"plan no_width.toml", 2, {"no_width.toml", "[model] width", "missing", "set it"}},
      {"train no_data.toml --out out", 2, {"no_data.toml", "[data] kind", "missing", "set it"}},
      {"train empty.toml --out out", 2, {"empty.toml", "[model] kind", "missing", "set it"}},
      {"train not.toml --out out", 2, {"not.toml:", "not valid TOML"}},
      {"train nowhere.toml --out out", 2, {"nowhere.toml", "no such file", "check the path"}},
      {"plan model", 2, {"model", "is a folder, a file is needed"}},
      set("model.kind=bert", {"[model] kind", "'bert' is not known", "gpt2"}),
      set("model.layers=many", {"[model] layers", "must be a whole number, not a string"}),
      set("model.layers=1.5", {"[model] layers", "must be a whole number"}),
      set("model.bias=1", {"[model] bias", "must be true or false"}),
      set("train.lr=nan", {"[train] lr", "must be a finite number"}),
      set("train.dropout=1", {"[train] dropout", "1 is out of range; 0 to 0.99"}),
      set("model.width=9", {"[model] width", "9 is not divisible by heads = 2", "such as 10"}),
      set("run.workers=0", {"[run] workers", "0 cannot work; 1 to"}),
      set("run.workers=-1", {"[run] workers", "-1 cannot work; 1 to"}),
      set("run.workers=1000000", {"[run] workers", "more than the", "cores", "leave it out"}),
      set("run.scheduler=lwss", {"'lwss'", "is 'lws' meant?"}),
      set("run.scheduler=", {"[run] scheduler", "leave it out for lws"}),
      set("run.dtype=f64", {"[run] dtype", "'f64'", "bf16"}),
      set("run.tiling=rows=7", {"axis 'rows' has 40 units", "add up to 7"}),
      set("run.tiling=rows", {"tiling: 'rows'", "axis=sizes"}),
      generate("no_json", {"no_json/config.json", "not valid JSON"}),
      generate("no_layers", {"no_layers/config.json", "n_layer", "missing"}),
      generate("odd_width", {"n_embd: 8 is not divisible by heads = 3", "such as 9"}),
      generate("other_kind", {"architectures", "'BertModel' is not supported", "GPT2LMHeadModel"}),
  };
}

std::vector<Row> sizes() {
  const std::string wide = "model.width=131072 --set model.heads=1024";
  return {
      set("model.layers=1000000000", {"[model] layers", "1000000000 is out of range; 1 to 4096"}),
      set("model.layers=-1", {"[model] layers", "-1 is out of range; 1 to 4096"}),
      set("model.width=1000000000", {"[model] width", "out of range; 1 to 131072"}),
      set("model.vocab=-5", {"[model] vocab", "-5 is out of range"}),
      set("model.layers=100000000000000000000", {"[model] layers", "must be a whole number"}),
      set("train.batch=-4", {"[train] batch", "-4 is out of range; 1 to"}),
      set("train.batch=1000000 --set train.accumulate=60000", {"[train] batch", "rows a step may have"}),
      set("train.steps=0", {"[train] steps", "0 is out of range; 1 to"}),
      set("train.seed=-1", {"[train] seed", "-1 is out of range"}),
      set("model.width=4096 --set model.heads=1", {"head_dim = 4096 is not in 1 … 256", "choose heads"}),
      {"plan config.toml --set model.layers=1000000000", 2, {"[model] layers", "1 to 4096"}},
      generate("many_layers", {"n_layer: 1000000000 is out of range; 1 to 4096"}),
      generate("negative_layers", {"n_layer: -1 is out of range; 1 to 4096"}),
      generate("many_positions", {"n_positions: 1000000000 is out of range; 1 to"}),
      // What each size allows, but all of them together do not.
      set(wide, {"the plan needs", "TiB of memory", "for variables", "are available; take a smaller model"}),
      set("train.batch=65536 --set model.vocab=16777216", {"the plan has more than", "or a smaller batch"}),
      set("train.batch=65536 --set model.vocab=16777216 --set run.tiling=rows=655360",
          {"the plan needs", "TiB of memory", "take a smaller model, batch or seq"}),
  };
}

std::vector<Row> words() {
  const std::string model = "generate model --max-new 1 ";
  return {
      {"", 2, {"a subcommand is needed: info", "tessera --help"}},
      {"trian config.toml --out out", 2, {"'trian'", "is 'train' meant?", "tessera --help"}},
      train("--resum", {"'--resum'", "is '--resume' meant?", "tessera train --help"}),
      {"train config.toml", 2, {"--out is required", "tessera train --help"}},
      {"train --out out", 2, {"config is required", "tessera train --help"}},
      {model + "--prompt-ids 1 --workers 0", 2, {"--workers", "'0'", "1 to"}},
      {model + "--prompt-ids 1 --workers 1000000", 2, {"--workers", "'1000000'", "1 to"}},
      {"eval model --data text.txt --workers 0", 2, {"--workers", "'0'", "1 to"}},
      {model + "--prompt-ids 1 --dtype f64", 2, {"--dtype", "f64", "f32"}},
      {model + "--prompt-ids 1 --temperature -1", 2, {"--temperature -1", "0 is greedy"}},
      {model + "--prompt-ids 1 --top-p 2", 2, {"--top-p 2", "above 0, at most 1"}},
      {model + "--prompt-ids 1 --top-k -1", 2, {"--top-k -1", "0 is all"}},
      {"generate model --prompt-ids 1,2,3 --max-new 9",
       2,
       {"3 prompt tokens and 9 new ones", "10 positions", "at most 8 new"}},
      {"generate model --prompt-ids 1 --max-new 1000000000000000", 2, {"10 positions", "at most 10 new"}},
      {"generate model --prompt-ids 1 --max-new 0", 2, {"--max-new 0", "at least one"}},
      {model + "--prompt-ids 1,2,3,4,5,6,7,8,9,10,1", 2, {"11 prompt tokens", "10 positions", "shorten"}},
      {model + "--prompt-ids 1,2,3,4,5,6,7,8,9,10,1 --no-cache", 2, {"11 prompt tokens", "shorten"}},
      {model + "--prompt-ids 1,11", 2, {"token id 11", "vocabulary of 11", "0 to 10"}},
      {model + "--prompt-ids=-1", 2, {"token id -1", "vocabulary of 11", "0 to 10"}},
      {model + "--prompt-ids 1000000000000", 2, {"--prompt-ids", "1000000000000", "generate --help"}},
      {model + "--prompt-ids 1,x", 2, {"--prompt-ids", "x", "generate --help"}},
      {model + "--prompt-ids 1 --kv-dtype f64", 2, {"--kv-dtype", "f64", "generate --help"}},
      {model + "--prompt-ids 1 --kv-dtype f16 --no-cache",
       2,
       {"excludes", "--no-cache", "--kv-dtype", "generate --help"}},
      {model + "--prompt-ids ''", 2, {"--prompt-ids", "an id is missing; write 1,5,9"}},
      {model + "--prompt-ids 1 --seed -1", 2, {"--seed", "-1 not in range 0", "generate --help"}},
      {model + "--prompt-ids 1 --seed 99999999999999999999", 2, {"--seed", "not in range 0"}},
      {model + "--prompt abc --prompt-ids 1", 2, {"--prompt excludes --prompt-ids", "generate --help"}},
      {model, 2, {"the prompt is empty", "--prompt-ids"}},
      {model + "--prompt abcß", 2, {"'ß' (U+00DF", "not among the 11"}},
      {model + "--prompt \"$(printf 'abc\\377')\"", 2, {"not valid UTF-8 at byte 3"}},
      {"generate no_tokenizer --prompt abc", 2, {"no tokenizer.json", "--prompt-ids"}},
      {"generate bad_tokenizer --prompt abc", 2, {"bad_tokenizer/tokenizer.json", "no tokenizer.json"}},
      {"bench step --shape gpt3", 2, {"'gpt3'", "gpt2"}},
      {"bench step --scheduler lwss --shape chargpt", 2, {"'lwss'", "is 'lws' meant?"}},
  };
}

std::vector<Row> data() {
  return {
      set("data.path=empty.txt", {"empty.txt", "is empty; name a file with text"}),
      set("data.path=latin1.txt", {"latin1.txt", "not valid UTF-8 at byte 1003", "convert it to UTF-8"}),
      set("data.path=nowhere.txt", {"nowhere.txt", "no such file", "check the path"}),
      set("data.path=model", {"model", "is a folder, a file is needed"}),
      set("data.path=short.txt", {"short.txt", "has 2 tokens", "shorten seq or take a longer text"}),
      set("data.tokenizer=model/tokenizer.json --set data.path=greek.txt",
          {"greek.txt", "'α'", "not among the 11"}),
      set("data.tokenizer=bad_tokenizer/tokenizer.json", {"bad_tokenizer/tokenizer.json", "no model"}),
      set("data.kind=addition", {"[data] path", "leave it out"}),
      set("model.vocab=5", {"[model] vocab", "5 is fewer than the 11 tokens", "leave it out"}),
      eval("model --data empty.txt", {"empty.txt", "is empty; name a file with text"}),
      eval("model --data latin1.txt", {"latin1.txt", "not valid UTF-8 at byte 1003", "convert it to UTF-8"}),
      eval("model --data nowhere.txt", {"nowhere.txt", "no such file", "check the path"}),
      eval("model --data greek.txt", {"greek.txt", "'α'", "not among the 11"}),
      eval("model --data short.txt", {"short.txt", "has 3 tokens", "take a longer text"}),
      eval("model --data text.txt --seq 11", {"--seq 11", "10 positions, 1 to 10"}),
      eval("model --data text.txt --batch 0", {"--batch", "1", "eval --help"}),
  };
}

std::vector<Row> outputs() {
  const std::string long_name(300, 'x');
  std::vector<Row> rows = {
      {"train config.toml --out model", 2, {"model", "holds a run of 2 steps", "--resume"}},
      {"import good.bin --out model", 2, {"model", "is there already; choose another"}},
      train("--trace nowhere/trace.json", {"nowhere/trace.json", "choose a folder that exists"}),
      train("--trace file/trace.json", {"file/trace.json", "choose a folder that exists"}),
      train("--trace model", {"model", "Is a directory", "choose"}),
  };
  for (const std::string& out : {std::string("file"), std::string("file/below"), std::string("/proc/model"),
                                 long_name, std::string("''")}) {
    const std::string thing = out == "''" ? "--out" : out;
    const bool long_one = out == long_name;  // messages stay short enough for a line
    rows.push_back({"train config.toml --out " + out, 2, {long_one ? "File name too long" : thing, "--out"}});
    rows.push_back({"import good.bin --out " + out,
                    2,
                    {long_one ? "File name too long" : thing, out == "''" ? "name the folder" : "choose"}});
  }
  return rows;
}

// A limit on the size of files stands for the disk: programs see EFBIG where they would see ENOSPC.
std::vector<Row> full_disks() {
  std::vector<Row> rows = {
      {"train config.toml --out out",
       1,
       {"model.safetensors", "the disk is full", no_room},
       small_disk,
       {"out", "out/checkpoints", "out/metrics.jsonl"}},
      {"train config.toml --out out --set train.steps=1000 --set train.checkpoint_every=0 --trace out/t.json",
       1,
       {"out/metrics.jsonl", "the disk is full", no_room},
       small_disk,
       {"out", "out/checkpoints", "out/metrics.jsonl"}},
      {"import good.bin --out out",
       1,
       {"model.safetensors", "the disk is full", no_room},
       "trap '' XFSZ; ulimit -f 1"},
  };
  for (const char* command :
       {"info", "ops --json", "plan config.toml", "plan config.toml --json", "plan config.toml --dot",
        "generate model --prompt-ids 1 --max-new 9", "generate model --prompt-ids 1 --max-new 1 --json",
        "eval model --data text.txt", "eval model --data text.txt --json"})
    rows.push_back({std::string(command) + " >/dev/full", 1, {"cannot write to standard output", no_room}});
  return rows;
}

std::vector<Row> table() {
  std::vector<Row> rows;
  for (auto* part : {weights, configurations, sizes, words, data, outputs, full_disks})
    std::ranges::move(part(), std::back_inserter(rows));
  return rows;
}

std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.arguments; }

class BadInput : public testing::TestWithParam<Row> {
 protected:
  static void SetUpTestSuite() { inputs = std::make_unique<test::BadInputs>(); }
  static void TearDownTestSuite() { inputs.reset(); }

  static inline std::unique_ptr<test::BadInputs> inputs;
};

// What follows the progress of a run that had begun is one line too.
std::string complaint(const std::string& err) {
  return err.substr(std::min(err.size(), err.rfind("tessera: ")));
}

TEST_P(BadInput, IsToldInOneLineAndLeavesNothing) {
  const Row& row = GetParam();
  const auto before = inputs->contents();
  const Outcome outcome = inputs->run(row.arguments, row.limits);
  EXPECT_EQ(outcome.code, row.code) << outcome.err;
  if (row.code == 2) {
    EXPECT_EQ(outcome.out, "");
  }
  const std::string line = row.kept.empty() ? outcome.err : complaint(outcome.err);
  EXPECT_TRUE(line.starts_with("tessera: ")) << outcome.err;
  EXPECT_EQ(std::ranges::count(line, '\n'), 1) << line;
  EXPECT_TRUE(line.ends_with('\n'));
  EXPECT_LT(line.size(), 500u) << line;
  for (const std::string& word : row.told) EXPECT_THAT(line, testing::HasSubstr(word));
  auto after = inputs->contents();
  if (after.contains("out/metrics.jsonl")) {
    EXPECT_TRUE(after["out/metrics.jsonl"].ends_with("}\n"));
  }
  inputs->remove_new(before);
  std::erase_if(after, [&](const auto& file) { return row.kept.contains(file.first); });
  EXPECT_TRUE(after == before) << testing::PrintToString(after.size() - before.size()) << " files more";
}

INSTANTIATE_TEST_SUITE_P(Command, BadInput, testing::ValuesIn(table()),
                         [](const auto& row) { return std::to_string(row.index); });

}  // namespace
}  // namespace tessera
