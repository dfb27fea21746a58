// Reading the training configuration.
// SPDX-License-Identifier: Apache-2.0
#include "models/config/config.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <thread>

#include "models/config/config_names.hpp"
#include "models/config/config_table.hpp"
#include "runtime/core/devices.hpp"
#include "runtime/core/file.hpp"

namespace tessera {
namespace {

using Keys = std::span<const std::string_view>;
constexpr std::string_view table_names[] = {"model", "data", "train", "run"};
constexpr std::string_view model_keys[] = {"kind", "layers",   "heads",      "kv_heads", "width",
                                           "ffn",  "vocab",    "seq",        "bias",     "activation",
                                           "tied", "norm_eps", "rope_theta", "init_std"};
constexpr std::string_view data_keys[] = {"kind", "path", "tokenizer", "digits", "held_out"};
constexpr std::string_view train_keys[] = {"steps",      "batch",   "accumulate",       "optimizer",
                                           "lr",         "min_lr",  "warmup",           "schedule",
                                           "betas",      "eps",     "momentum",         "weight_decay",
                                           "clip",       "dropout", "label_smoothing",  "recompute",
                                           "non_finite", "seed",    "checkpoint_every", "keep",
                                           "val_every"};
constexpr std::string_view run_keys[] = {"workers", "devices",       "scheduler",   "dtype", "tiling",
                                         "trace",   "device_memory", "host_memory", "swap"};

// ${NAME} from the environment; a lone $ stays what it is.
std::string expand(const ConfigTable& table, std::string_view key, std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t begin = text.find("${", at);
    out += text.substr(at, begin - at);
    if (begin == text.npos) break;
    size_t end = text.find('}', begin);
    if (end == text.npos) table.fail(key, fmt::format("{} opens a ${{ that no }} closes", shown(text)));
    std::string name(text.substr(begin + 2, end - begin - 2));
    const char* value = std::getenv(name.c_str());
    if (!value) table.fail(key, fmt::format("the environment variable {} is not set", shown(name)));
    out += value;
    at = end + 1;
  }
  return out;
}

ModelConfig read_model(const ConfigTable& table) {
  table.require({"kind", "layers", "heads", "width", "seq"});
  ModelKind kind = ModelKind::gpt2;
  table.choose("kind", kind, model_kinds);
  ModelConfig model = default_model(kind);
  table.read("layers", model.layers);
  table.read("heads", model.heads);
  model.kv_heads = model.heads;
  table.read("kv_heads", model.kv_heads);
  table.read("width", model.width, 1, 1 << 17);  // before a default is worked out from it
  model.ffn = default_ffn(kind, model.width);
  table.read("ffn", model.ffn);
  table.read("vocab", model.vocab, 1, 1 << 24);  // absent means the tokenizer's, 0 is a mistake
  table.read("seq", model.seq);
  table.read("bias", model.bias);
  table.choose("activation", model.activation, activations);
  table.read("tied", model.tied);
  table.read("norm_eps", model.norm_eps);
  table.read("rope_theta", model.rope_theta);
  table.read("init_std", model.init_std);
  if (auto problem = find_problem(model)) table.fail(problem->key, problem->reason);
  return model;
}

DataConfig read_data(const ConfigTable& table) {
  table.require({"kind"});
  DataConfig data;
  table.choose("kind", data.kind, data_kinds);
  table.read("path", data.path);
  table.read("tokenizer", data.tokenizer);
  table.read("digits", data.digits, 1, 6);
  table.read("held_out", data.held_out, 1e-4, 0.5);
  auto only_for = [&](std::string_view kind, std::initializer_list<std::string_view> keys) {
    for (std::string_view key : keys)
      if (table.has(key)) table.fail(key, fmt::format("belongs to kind = \"{}\" only; leave it out", kind));
  };
  if (data.kind == DataKind::addition) {
    only_for("text", {"path", "tokenizer"});
    return data;
  }
  only_for("addition", {"digits", "held_out"});
  table.require({"path"});
  data.path = expand(table, "path", data.path);
  data.tokenizer = expand(table, "tokenizer", data.tokenizer);
  if (data.path.empty()) table.fail("path", "is empty; name a text file");
  if (data.tokenizer != "char" && data.tokenizer != "byte" && !data.tokenizer.ends_with(".json") &&
      !data.tokenizer.ends_with(".bin"))
    table.fail("tokenizer",
               fmt::format("{} is not known; char, byte, or a .json or .bin file", shown(data.tokenizer)));
  return data;
}

constexpr int64_t max_steps = 1'000'000'000;

void read_optimizer(const ConfigTable& table, TrainConfig& train) {
  table.choose("optimizer", train.optimizer, optimizers);
  table.read("lr", train.lr, 0, 100);
  train.min_lr = train.lr / 10;
  table.read("min_lr", train.min_lr, 0, train.lr);
  table.read("warmup", train.warmup, 0, max_steps);  // a run may end while it warms up
  table.choose("schedule", train.schedule, schedules);
  table.read("betas", train.betas, 0, 1);
  for (double beta : train.betas)
    if (beta >= 1) table.fail("betas", "must be below 1");
  table.read("eps", train.eps, 0, 1);
  table.read("momentum", train.momentum, 0, 1);
  table.read("weight_decay", train.weight_decay, 0, 100);
  table.read("clip", train.clip, 0, 1e9);
}

TrainConfig read_train(const ConfigTable& table, const ModelConfig& model) {
  table.require({"steps", "batch", "lr"});
  TrainConfig train;
  table.read("steps", train.steps, 1, max_steps);
  table.read("batch", train.batch, 1, 1 << 20);
  table.read("accumulate", train.accumulate, 1, 1 << 16);
  if (train.batch * train.accumulate > max_rows / model.seq)
    table.fail("batch",
               fmt::format("{} sequences of {}, {} times a step, are more than the {} rows a step may have",
                           train.batch, model.seq, train.accumulate, max_rows));
  read_optimizer(table, train);
  table.read("dropout", train.dropout, 0, 0.99);
  table.read("label_smoothing", train.label_smoothing, 0, 0.99);
  table.choose("recompute", train.recompute, recomputes);
  table.choose("non_finite", train.non_finite, non_finites);
  table.read("seed", train.seed, 0, INT64_MAX);
  table.read("checkpoint_every", train.checkpoint_every, 0, max_steps);
  table.read("keep", train.keep, 1, 1'000'000);
  table.read("val_every", train.val_every, 0, max_steps);
  return train;
}

constexpr int64_t max_mib = int64_t{1} << 30;

DeviceSet read_devices(const ConfigTable& table, const std::vector<std::string>& words) {
  try {
    return parse_devices(words);
  } catch (const Error& problem) {
    table.fail("devices", problem.what());
  }
}

RunConfig read_run(const ConfigTable& table, int64_t cores) {
  RunConfig run;
  run.workers = cores;
  table.read("workers", run.workers);
  if (run.workers < 1)
    table.fail("workers", fmt::format("{} cannot work; 1 to {} is possible", run.workers, cores));
  if (run.workers > cores)
    table.fail("workers",
               fmt::format("{} is more than the {} cores of this machine; leave it out to use them all",
                           run.workers, cores));
  table.read("devices", run.devices);
  if (run.devices.empty()) table.fail("devices", "is an empty list; name at least cpu");
  const DeviceSet devices = read_devices(table, run.devices);
  if (devices.cpu > cores)
    table.fail("devices",
               fmt::format("cpu:{} is more than the {} cores of this machine", devices.cpu, cores));
  if (devices.cpu > 0) run.workers = devices.cpu;
  table.read("scheduler", run.scheduler);
  if (run.scheduler.empty()) table.fail("scheduler", "is empty; leave it out for lws");
  table.choose("dtype", run.dtype, run_dtypes);
  table.read("tiling", run.tiling);
  if (run.tiling.empty()) table.fail("tiling", "is empty; leave it out for auto");
  table.read("trace", run.trace);
  run.trace = expand(table, "trace", run.trace);
  table.read("device_memory", run.device_memory, 1, max_mib);
  table.read("host_memory", run.host_memory, 1, max_mib);
  table.read("swap", run.swap);
  run.swap = expand(table, "swap", run.swap);
  if (!run.swap.empty() && run.host_memory == 0)
    table.fail("swap", "is for what host_memory leaves no room for; set that as well");
  return run;
}

// "table.key=value": the value is TOML, or else a string without its quotes.
void apply_override(toml::table& file, std::string_view text, std::string_view source) {
  size_t equals = text.find('='), dot = text.find('.');
  if (equals == text.npos || dot == text.npos || dot > equals || dot == 0 || dot + 1 == equals)
    throw error("--set {}: is not of the form table.key=value", shown(text));
  std::string_view name = text.substr(0, dot), key = text.substr(dot + 1, equals - dot - 1);
  std::string_view value = text.substr(equals + 1);
  if (std::ranges::find(table_names, name) == std::end(table_names))
    throw error("--set {}: unknown table {}{}", shown(text), shown(name), suggestion(name, table_names));
  toml::table* table = file.insert(name, toml::table{}).first->second.as_table();
  if (!table) throw error("{}: {} must be a table", source, name);
  try {
    toml::table parsed = toml::parse(fmt::format("value = {}\n", value));
    if (parsed.size() == 1) {
      table->insert_or_assign(key, *parsed.get("value"));
      return;
    }
  } catch (const toml::parse_error&) {  // NOLINT(bugprone-empty-catch): a word without quotes is text
  }
  if (invalid_utf8_at(value)) throw error("--set {}: is not UTF-8", shown(text));
  table->insert_or_assign(key, value);
}

}  // namespace

Config load_config(const std::filesystem::path& file, const ConfigOptions& options) {
  return parse_config(read_file(file, 1 << 20), file.string(), options);
}

Config parse_config(std::string_view text, std::string_view source, const ConfigOptions& options) {
  toml::table file;
  try {
    file = toml::parse(text, source);
  } catch (const toml::parse_error& failed) {
    std::string reason = shown(failed.description());
    throw error("{}:{}:{}: not valid TOML: {}", source, failed.source().begin.line,
                failed.source().begin.column, reason.substr(1, reason.size() - 2));
  }
  for (const std::string& override : options.overrides) apply_override(file, override, source);
  for (const auto& [name, node] : file)
    if (std::ranges::find(table_names, name.str()) == std::end(table_names))
      throw error("{}: unknown table {}{}", source, shown(name.str()), suggestion(name.str(), table_names));

  int64_t cores = options.cores > 0 ? options.cores : std::max(1u, std::thread::hardware_concurrency());
  Config config;
  config.model = read_model(ConfigTable(source, file, "model", model_keys));
  config.data = read_data(ConfigTable(source, file, "data", data_keys));
  config.train = read_train(ConfigTable(source, file, "train", train_keys), config.model);
  config.run = read_run(ConfigTable(source, file, "run", run_keys), cores);
  return config;
}

}  // namespace tessera
