// The training configuration: a TOML file of [model], [data], [train] and [run], and overrides of its keys.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/config/model_config.hpp"
#include "runtime/core/dtype.hpp"
#include "runtime/plan/plan.hpp"

namespace tessera {

enum class DataKind : uint8_t { addition, text };

struct DataConfig {
  DataKind kind = DataKind::text;
  std::string path;  // text: a UTF-8 file, its first 90 % to train on; ${NAME} is taken from the environment
  std::string tokenizer = "char";  // text: char, byte, or a tokenizer.json or llama2.c tok*.bin file
  int64_t digits = 3;              // addition: digits of each number
  double held_out = 0.01;          // addition: share of all sums kept for evaluation
  bool operator==(const DataConfig&) const = default;
};

enum class OptimizerKind : uint8_t { adamw, adam, rmsprop, sgd };
enum class Schedule : uint8_t { constant, linear, cosine };
enum class NonFinite : uint8_t { stop, skip };

struct TrainConfig {
  int64_t steps = 0;
  int64_t batch = 0;       // sequences per micro-batch
  int64_t accumulate = 1;  // micro-batches per step
  OptimizerKind optimizer = OptimizerKind::adamw;
  double lr = 0;
  double min_lr = 0;   // where a falling schedule ends; lr / 10 where absent
  int64_t warmup = 0;  // steps of linear rise
  Schedule schedule = Schedule::cosine;
  std::array<double, 2> betas{0.9, 0.95};  // rmsprop uses the second
  double eps = 1e-8;
  double momentum = 0.9;      // sgd
  double weight_decay = 0.1;  // on matrices only
  double clip = 1;            // global gradient norm; 0: none
  double dropout = 0;
  double label_smoothing = 0;
  Recompute recompute = Recompute::none;
  NonFinite non_finite = NonFinite::stop;  // what a loss that is no number does
  int64_t seed = 0;
  int64_t checkpoint_every = 500;  // steps; 0: only at the end
  int64_t keep = 3;                // checkpoints kept
  int64_t val_every = 0;           // steps; 0: only at the end
  bool operator==(const TrainConfig&) const = default;
};

struct RunConfig {
  int64_t workers = 0;                      // as read: 1 to the machine's cores, all of them where absent
  std::vector<std::string> devices{"cpu"};  // "cpu" or "cpu:8", which overrides workers; "cuda:0", "opencl:1"
  std::string scheduler = "lws";
  DType dtype = DType::f32;  // f32 or bf16
  std::string tiling = "auto";
  std::string trace;                           // file; empty: none
  int64_t device_memory = 0, host_memory = 0;  // MiB, on each device and of the whole process; 0: no limit
  std::string swap;                            // folder for what host_memory leaves no room for; empty: none
  bool operator==(const RunConfig&) const = default;
};

struct Config {
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  RunConfig run;
  bool operator==(const Config&) const = default;
};

inline constexpr int64_t max_rows = int64_t{1} << 30;  // of a step: they are counted in 32 bits

struct ConfigOptions {
  std::span<const std::string> overrides = {};  // "train.steps=20", as given to --set
  int64_t cores = 0;                            // of this machine; 0: as many as the system says
};

// Throws Error naming file, table and key: unknown or missing keys, wrong types, values that cannot be.
Config load_config(const std::filesystem::path& file, const ConfigOptions& options = {});
Config parse_config(std::string_view text, std::string_view source, const ConfigOptions& options = {});

// The same configuration with every key written out; parse_config reads it back equal.
std::string to_toml(const Config& config);

}  // namespace tessera
