// The training loop.
// SPDX-License-Identifier: Apache-2.0
#include "models/train/trainer.hpp"

#include <chrono>
#include <cmath>
#include <deque>
#include <numbers>

#include "models/checkpoint/folder.hpp"
#include "models/data/dataset.hpp"
#include "models/train/metrics.hpp"
#include "models/train/output_folder.hpp"
#include "models/train/placement.hpp"
#include "models/train/plans.hpp"
#include "models/train/run_state.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/devices.hpp"
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

  void begin_placement();
  std::string wanted(const StepKey& key) const { return replay_ ? replay_->tasks(key) : ""; }
  void record(const StepKey& key, const Executor::Step& step);
  void announce() const;
  void start(int64_t index);
  void finish_oldest();
  double evaluate();
  void explain_non_finite(int64_t index);
  void checkpoint(int64_t steps);

  Config config_;
  const TrainOptions& options_;
  OutputFolder folder_;
  Dataset data_;
  std::optional<Replay> replay_;
  Session session_;
  TrainingGraph training_;
  Executor trainer_;
  std::unique_ptr<EvaluationGraph> evaluation_;
  std::unique_ptr<Executor> evaluator_;
  std::optional<Metrics> metrics_;
  std::optional<PlacementRecorder> recorder_;
  size_t n_choices_ = 0;  // recorded
  std::deque<Flying> flying_;
  TrainProgress now_;
  Clock::time_point began_, last_;
};

Config for_data(Config config) {  // one batch holds all micro-batches of a step
  config.train.batch *= config.train.accumulate;
  config.train.accumulate = 1;
  return config;
}

Config prepared(Config config, const Dataset& data, const OutputFolder& folder,
                const std::optional<Replay>& replay) {
  config.model.vocab = data.vocab;
  if (folder.latest()) config = resumed_config(std::move(config), *folder.latest());
  if (replay && config.run.tiling == "auto") config.run.tiling = replay->run().plans.tiling;
  return config;
}

std::optional<Replay> replay_of(const TrainOptions& options) {
  if (options.replay_placement.empty()) return std::nullopt;
  if (fs::weakly_canonical(options.replay_placement) == fs::weakly_canonical(options.record_placement))
    throw error("{}: cannot be recorded while it is replayed; record into another file",
                options.record_placement.string());
  return Replay(options.replay_placement);
}

EngineOptions engine_of(const Config& config, const TrainOptions& options) {
  const DeviceSet devices = parse_devices(config.run.devices);
  return {.engine = options.engine,
          .workers = useful_workers(config),
          .scheduler = config.run.scheduler,
          .opencl = devices.opencl,
          .cuda = devices.cuda,
          .explain = options.explain_placement.string(),
          .host_memory = config.run.host_memory << 20,
          .device_memory = config.run.device_memory << 20,
          .swap = config.run.swap};
}

Training::Training(Config config, const TrainOptions& options)
    : config_(std::move(config)),
      options_(options),
      folder_(options.out, options.resume),
      data_(open_dataset(for_data(config_))),
      replay_(replay_of(options)),
      session_(engine_of(config_, options), static_cast<uint64_t>(config_.train.seed)),
      training_(config_ = prepared(config_, data_, folder_, replay_)),
      trainer_(session_, training_plan(config_, *training_.graph),
               {.strict_devices = options.strict_devices}) {
  if (!config_.run.trace.empty())
    const NewFile trial(config_.run.trace);  // written at the end: found out now
  if (!options.record_placement.empty()) const NewFile trial(options.record_placement);
  if (data_.validation && data_.validation->batches() > 0) {
    evaluation_ = std::make_unique<EvaluationGraph>(
        config_, static_cast<int64_t>(data_.validation->at(0).tokens.size()));
    evaluator_ = std::make_unique<Executor>(
        session_, evaluation_plan(config_, *evaluation_->graph, trainer_.plan().tiling));
  }
  if (replay_) use_choices(session_.engine(), replay_->run().choices);  // before the checkpoint's
  if (folder_.latest()) {
    load_run_state(*folder_.latest(), config_, session_);
    now_.step = folder_.latest()->step;
  }
  begin_placement();
  announce();
  metrics_.emplace(folder_.path() / "metrics.jsonl", now_.step);
}

void Training::begin_placement() {
  const Plan& plan = trainer_.plan();
  if (!replay_ && options_.record_placement.empty()) return;
  const RunPlans plans{plan.tiling.to_string(), fingerprint(plan),
                       evaluator_ ? fingerprint(evaluator_->plan()) : "", plan.tasks.size(),
                       evaluator_ ? evaluator_->plan().tasks.size() : 0};
  const WorkerKinds& kinds = session_.engine().kinds();
  if (replay_) replay_->check(plans, kinds, now_.step + 1);
  if (replay_ && options_.note && replay_->run().last_step() < config_.train.steps)
    options_.note(fmt::format("{}: holds {} of {} steps; those after it run anywhere",
                              options_.replay_placement.string(), replay_->run().last_step(),
                              config_.train.steps));
  if (!options_.record_placement.empty())
    recorder_.emplace(options_.record_placement, plans, kinds, now_.step);
}

void Training::record(const StepKey& key, const Executor::Step& step) {
  if (!recorder_) return;
  if (const size_t n = count_choices(session_.engine()); n != n_choices_) {
    recorder_->choices(choices_of(session_.engine()));
    n_choices_ = n;
  }
  recorder_->step(key, step.kinds());
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
  flying_.push_back({index, trainer_.run(feeds, wanted({index + 1}))});
}

// Looks at the oldest started step: one more may still be running.
void Training::finish_oldest() {
  const Flying oldest = flying_.front();
  flying_.pop_front();
  const std::vector<float> control = oldest.step.get(training_.control);
  record({oldest.index + 1}, oldest.step);
  now_.step = oldest.index + 1;
  now_.loss = oldest.step.scalar(training_.loss);
  now_.lr = learning_rate(config_.train, oldest.index);
  now_.grad_norm = control[2];
  const double seconds = seconds_since(last_);
  last_ = Clock::now();
  now_.tokens_per_s = static_cast<double>(training_.rows) / seconds;
  now_.flops_per_s = training_flops(config_.model, config_.train.batch * config_.train.accumulate) / seconds;
  const int64_t resumed_at = folder_.latest() ? folder_.latest()->step : 0;
  now_.seconds_left = seconds_since(began_) / static_cast<double>(now_.step - resumed_at) *
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
    const StepKey key{now_.step, i};
    const Executor::Step step =
        evaluator_->run(evaluation_->batch.feeds(data_.validation->at(i)), wanted(key));
    record(key, step);
    const double n = step.scalar(evaluation_->count);
    sum += n * step.scalar(evaluation_->loss);
    count += n;
  }
  return sum / count;
}

void Training::checkpoint(int64_t steps) {
  if (recorder_) recorder_->sync();
  metrics_->sync();  // a checkpoint's steps are all in there, even if the machine goes down
  write_checkpoint(folder_.checkpoints(), steps, config_.train.keep, [&](const fs::path& writing) {
    save_model(writing, config_, *data_.tokenizer, session_);
    save_run_state(writing, config_, steps, trainer_.plan().tiling, session_);
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
  save_model(folder_.path(), config_, *data_.tokenizer, session_);
  if (!config_.run.trace.empty()) write_chrome_trace(recording_of(trainer_), config_.run.trace);
  return {.steps = now_.step,
          .loss = now_.loss,
          .val_loss = now_.val_loss,
          .seconds = seconds_since(began_),
          .workers = trainer_.worker_use()};
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
