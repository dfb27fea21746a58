// The training loop.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/trainer.hpp"

#include <chrono>
#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>
#include <numbers>

#include "models/checkpoint/folder.hpp"
#include "models/checkpoint/hf_weights.hpp"
#include "models/checkpoint/json.hpp"
#include "models/checkpoint/safetensors.hpp"
#include "models/config/hf_config.hpp"
#include "models/data/dataset.hpp"
#include "models/train/metrics.hpp"
#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/error.hpp"
#include "runtime/core/file.hpp"
#include "runtime/trace/trace.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int64_t traced_steps = 4;  // the last ones, which no warm-up disturbs

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Everything a run needs, and what it does to it.
class Training {
 public:
  Training(Config config, const TrainOptions& options);
  TrainResult run();

 private:
  struct Flying {  // a step that was started and not yet looked at
    int64_t index;
    Executor::Step step;
  };

  void announce() const;
  void restore();
  void start(int64_t index);
  void finish_oldest();
  double evaluate();
  void explain_non_finite(int64_t index);
  void save_model(const fs::path& folder, bool state);
  void checkpoint(int64_t steps);

  Config config_;
  const TrainOptions& options_;
  Dataset data_;
  std::optional<Checkpoint> resumed_;
  Session session_;
  TrainingGraph training_;
  Executor trainer_;
  std::unique_ptr<EvaluationGraph> evaluation_;
  std::unique_ptr<Executor> evaluator_;
  std::optional<Metrics> metrics_;
  std::deque<Flying> flying_;
  TrainProgress now_;
  Clock::time_point began_, last_;
};

Config prepared(Config config, const TrainOptions& options, const Dataset& data,
                const std::optional<Checkpoint>& resumed) {
  config.model.vocab = data.vocab;
  if (options.out.empty()) throw error("train: name the folder for the model with --out");
  if (resumed) {
    const auto state =
        parse_json(read_file(resumed->folder / "trainer.json"), (resumed->folder / "trainer.json").string());
    config.run.tiling = state.at("tiling").get<std::string>();
  }
  return config;
}

Config for_data(Config config) {  // one batch holds all micro-batches of a step
  config.train.batch *= config.train.accumulate;
  config.train.accumulate = 1;
  return config;
}

std::optional<Checkpoint> found_checkpoint(const TrainOptions& options) {
  std::error_code problem;
  fs::create_directories(options.out / "checkpoints", problem);
  if (problem)
    throw error("{}: cannot be made: {}; choose another folder with --out", options.out.string(),
                problem.message());
  remove_leftovers(options.out / "checkpoints");
  return options.resume ? latest_complete(options.out / "checkpoints") : std::nullopt;
}

Training::Training(Config config, const TrainOptions& options)
    : config_(std::move(config)),
      options_(options),
      data_(open_dataset(for_data(config_))),
      resumed_(found_checkpoint(options)),
      session_({.engine = options.engine,
                .workers = static_cast<int>(config_.run.workers),
                .scheduler = config_.run.scheduler},
               static_cast<uint64_t>(config_.train.seed)),
      training_(config_ = prepared(config_, options, data_, resumed_)),
      trainer_(session_, training_plan(config_, *training_.graph)) {
  if (data_.validation && data_.validation->batches() > 0) {
    evaluation_ = std::make_unique<EvaluationGraph>(
        config_, static_cast<int64_t>(data_.validation->at(0).tokens.size()));
    evaluator_ = std::make_unique<Executor>(
        session_, evaluation_plan(config_, *evaluation_->graph, trainer_.plan().tiling));
  }
  announce();
  if (resumed_) restore();
  metrics_.emplace(options_.out / "metrics.jsonl", now_.step);
}

void Training::announce() const {
  if (!options_.note) return;
  const Plan& plan = trainer_.plan();
  int64_t parameters = 0;
  for (const Parameter& p : training_.parameters) parameters += p.variable.shape().size();
  options_.note(fmt::format("{:.1f}M parameters, {} tasks per step, {} MiB ({} variables, {} activations)",
                            static_cast<double>(parameters) / 1e6, plan.tasks.size(),
                            (plan.variable_bytes() + plan.intermediate_bytes()) >> 20,
                            plan.variable_bytes() >> 20, plan.intermediate_bytes() >> 20));
  options_.note(fmt::format("tiling = \"{}\"", plan.tiling.to_string()));
  for (const std::string& note : plan.notes) options_.note(note);
}

void Training::restore() {
  load_weights(resumed_->folder, config_.model, session_);
  const SafetensorsFile state = SafetensorsFile::open(resumed_->folder / "optimizer.safetensors");
  for (const TensorEntry& entry : state.entries()) {
    const TensorType& type = session_.type(entry.name);
    std::vector<std::byte> bytes(static_cast<size_t>(type.bytes()));
    entry.read(entry.shape, type.dtype, bytes);
    session_.write(entry.name, bytes.data());
  }
  now_.step = resumed_->step;
}

double learning_rate_at(const TrainConfig& c, double progress) {
  switch (c.schedule) {
    case Schedule::constant:
      return c.lr;
    case Schedule::linear:
      return c.lr + (c.min_lr - c.lr) * progress;
    case Schedule::cosine:
      break;
  }
  return c.min_lr + 0.5 * (1 + std::cos(std::numbers::pi * progress)) * (c.lr - c.min_lr);
}

void Training::start(int64_t index) {
  if (!config_.run.trace.empty() &&
      index == std::max<int64_t>(now_.step, config_.train.steps - traced_steps)) {
    trainer_.wait();
    trainer_.set_record(true);
  }
  const Batch batch = data_.train->at(index);
  const std::vector<int32_t> rng{static_cast<int32_t>(config_.train.seed), static_cast<int32_t>(index)};
  const std::vector<float> lr{static_cast<float>(learning_rate(config_.train, index))};
  const std::vector<int32_t> step{static_cast<int32_t>(index) + 1};
  std::vector<Feed> feeds = training_.batch.feeds(batch);
  feeds.insert(feeds.end(), {{training_.rng, rng}, {training_.lr, lr}, {training_.step, step}});
  flying_.push_back({index, trainer_.run(feeds)});
}

// Looks at the oldest started step: one more may still be running.
void Training::finish_oldest() {
  const Flying oldest = flying_.front();
  flying_.pop_front();
  const std::vector<float> control = oldest.step.get(training_.control);
  now_.step = oldest.index + 1;
  now_.loss = oldest.step.scalar(training_.loss);
  now_.lr = learning_rate(config_.train, oldest.index);
  now_.grad_norm = control[2];
  const double seconds = seconds_since(last_);
  last_ = Clock::now();
  now_.tokens_per_s = static_cast<double>(training_.rows) / seconds;
  now_.flops_per_s = training_flops(config_.model, config_.train.batch * config_.train.accumulate) / seconds;
  now_.seconds_left = seconds_since(began_) /
                      static_cast<double>(now_.step - (resumed_ ? resumed_->step : 0)) *
                      static_cast<double>(now_.steps - now_.step);
  const bool finite = std::isfinite(now_.loss) && control[1] != 0;
  if (!finite && config_.train.non_finite == NonFinite::stop) explain_non_finite(oldest.index);
}

// The update was skipped, so the step can be run again with every task's result checked.
void Training::explain_non_finite(int64_t index) {
  while (!flying_.empty()) flying_.front().step.wait(), flying_.pop_front();
  std::string where = "the sum of its gradients";
  try {
    Executor checked(session_, training_plan(config_, *training_.graph), {.check_finite = true});
    const Batch batch = data_.train->at(index);
    const std::vector<int32_t> rng{static_cast<int32_t>(config_.train.seed), static_cast<int32_t>(index)},
        step{static_cast<int32_t>(index) + 1};
    const std::vector<float> lr{0};
    std::vector<Feed> feeds = training_.batch.feeds(batch);
    feeds.insert(feeds.end(), {{training_.rng, rng}, {training_.lr, lr}, {training_.step, step}});
    checked.run(feeds).wait();
  } catch (const Failure& failure) {
    where = failure.what();
  }
  throw failure(
      "step {}: the loss or its gradient is not finite, first in {}; lower train.lr, or set train.non_finite "
      "= \"skip\"",
      index + 1, where);
}

double Training::evaluate() {
  double sum = 0, count = 0;
  for (int64_t i = 0; i < data_.validation->batches(); ++i) {
    const Executor::Step step = evaluator_->run(evaluation_->batch.feeds(data_.validation->at(i)));
    const double n = step.scalar(evaluation_->count);
    sum += n * step.scalar(evaluation_->loss);
    count += n;
  }
  return sum / count;
}

void Training::save_model(const fs::path& folder, bool state) {
  save_weights(folder, config_.model, session_);
  write_file(folder / "config.json", hf_config_json({.model = config_.model,
                                                     .dtype = DType::f32,
                                                     .bos = data_.tokenizer->bos(),
                                                     .eos = data_.tokenizer->eos()}));
  save_tokenizer(folder, *data_.tokenizer);
  if (!state) return;
  std::vector<std::vector<std::byte>> bytes;
  std::vector<NamedArray> arrays;
  for (const std::string& name : session_.names()) {
    if (name.find(':') == std::string::npos) continue;  // optimizer state is named parameter:state
    const TensorType& type = session_.type(name);
    bytes.emplace_back(static_cast<size_t>(type.bytes()));
    session_.read(name, bytes.back().data());
    std::vector<int64_t> shape;
    for (int d = 0; d < type.shape.rank(); ++d) shape.push_back(type.shape[d].size);
    arrays.push_back({name, type.dtype, shape, bytes.back()});
  }
  write_safetensors(folder / "optimizer.safetensors", arrays);
}

void Training::checkpoint(int64_t steps) {
  write_checkpoint(options_.out / "checkpoints", steps, config_.train.keep, [&](const fs::path& folder) {
    save_model(folder, true);
    const nlohmann::ordered_json state{
        {"step", steps}, {"tiling", trainer_.plan().tiling.to_string()}, {"config", to_toml(config_)}};
    write_file(folder / "trainer.json", state.dump(2) + "\n");
  });
}

TrainResult Training::run() {
  const TrainConfig& train = config_.train;
  now_.steps = train.steps;
  began_ = last_ = Clock::now();
  const auto due = [&](int64_t every) { return every > 0 && now_.step % every == 0; };
  int64_t next = now_.step;
  while (now_.step < train.steps) {
    // One step ahead, but never past a point where the variables are looked at.
    const auto stops = [&](int64_t steps) {
      return (train.checkpoint_every > 0 && steps % train.checkpoint_every == 0) ||
             (train.val_every > 0 && steps % train.val_every == 0);
    };
    while (next < train.steps && flying_.size() < 2 && (flying_.empty() || !stops(next))) start(next++);
    finish_oldest();
    now_.val_loss.reset();
    if (evaluator_ && (due(train.val_every) || now_.step == train.steps)) {
      now_.val_loss = evaluate();
      last_ = Clock::now();
    }
    metrics_->write(now_);
    if (options_.progress) options_.progress(now_);
    if (due(train.checkpoint_every) || now_.step == train.steps) {
      checkpoint(now_.step);
      last_ = Clock::now();
    }
  }
  save_model(options_.out, false);
  if (!config_.run.trace.empty()) write_chrome_trace(recording_of(trainer_), config_.run.trace);
  return {.steps = now_.step, .loss = now_.loss, .val_loss = now_.val_loss, .seconds = seconds_since(began_)};
}

}  // namespace

double learning_rate(const TrainConfig& c, int64_t step) {
  if (step < c.warmup) return c.lr * static_cast<double>(step + 1) / static_cast<double>(c.warmup + 1);
  return learning_rate_at(c, static_cast<double>(step - c.warmup) /
                                 static_cast<double>(std::max<int64_t>(1, c.steps - c.warmup)));
}

TrainResult train(Config config, const TrainOptions& options) {
  return Training(std::move(config), options).run();
}

}  // namespace tessera
