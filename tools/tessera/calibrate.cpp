// tessera calibrate: what each kind of worker can do, and how long a training step's tasks take there.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <set>
#include <thread>

#include "models/data/dataset.hpp"
#include "models/train/plans.hpp"
#include "runtime/core/devices.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/device_peaks.hpp"
#include "tools/tessera/gauge.hpp"
#include "tools/tessera/output.hpp"
#include "tools/tessera/shapes.hpp"
#include "tools/tessera/step_model.hpp"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string config, devices;
  std::vector<std::string> set;
  double seconds = 30;
  bool json = false;
};

constexpr double share_of_peaks = 0.5;  // of the bar

struct Target {
  std::string word, kind;  // "opencl:0", and what it is
  std::function<std::unique_ptr<DeviceQueue>()> queue;
};

std::vector<std::string> all_devices() {
  std::vector<std::string> words{"cpu"};
  for (size_t k = 0; k < opencl_devices().size(); ++k) words.push_back(fmt::format("opencl:{}", k));
  for (size_t k = 0; k < cuda_devices().size(); ++k) words.push_back(fmt::format("cuda:{}", k));
  return words;
}

// One of each kind.
std::vector<Target> targets_of(const DeviceSet& devices) {
  std::vector<Target> targets;
  std::set<std::string> kinds;
  for (int index : devices.opencl)
    if (std::string kind = opencl_devices()[static_cast<size_t>(index)].kind(); kinds.insert(kind).second)
      targets.push_back(
          {fmt::format("opencl:{}", index), kind, [index] { return make_opencl_queue(index); }});
  for (int index : devices.cuda)
    if (std::string kind = cuda_devices()[static_cast<size_t>(index)].kind(); kinds.insert(kind).second)
      targets.push_back({fmt::format("cuda:{}", index), kind, [index] { return make_cuda_queue(index); }});
  return targets;
}

void measure_peaks(const EngineOptions& engine, const std::vector<Target>& targets, Gauge& gauge) {
  PerformanceModel model(performance_file());
  const double each = share_of_peaks / static_cast<double>(targets.size() + 1);
  gauge.update(0, "cpu: matrix products, memory");
  model.set_peaks(cpu_kind(), measure_cpu(engine.workers));
  for (size_t k = 0; k < targets.size(); ++k) {
    const auto at = [&](double share) {
      gauge.update((static_cast<double>(k + 1) + share) * each,
                   targets[k].word + ": matrix products, memory, copies");
    };
    at(0);
    const std::unique_ptr<DeviceQueue> queue = targets[k].queue();
    model.set_peaks(targets[k].kind, measure_device(*queue, at));
  }
  model.save();
}

// Which tasks a model knows on which kinds.
class Coverage {
 public:
  Coverage(Engine& engine, const Plan& plan) : model_(*engine.model()) {
    std::map<int, bool> kinds;  // and whether they are devices
    for (int w = 0; w < engine.workers(); ++w) kinds[engine.kind(w)] = engine.queue(w) != nullptr;
    std::set<uint64_t> seen;
    for (const Task& task : plan.tasks) {
      const TaskCost cost = cost_of(plan, task);
      if (!seen.insert(cost.footprint).second) continue;
      for (const auto& [kind, is_device] : kinds)
        if (!is_device || std::ranges::all_of(task.stages, [](const Stage& s) { return s.kernel->gpu; }))
          wanted_.emplace_back(&model_.entry(cost), kind);
    }
  }
  size_t wanted() const { return wanted_.size(); }
  size_t known() const {
    return static_cast<size_t>(std::ranges::count_if(
        wanted_, [&](const auto& one) { return !model_.expected(*one.first, one.second).young; }));
  }

 private:
  PerformanceModel& model_;
  std::vector<std::pair<const PerformanceModel::Entry*, int>> wanted_;
};

struct Filled {
  size_t known = 0, wanted = 0;
};

// Steps under a policy that looks for what was not measured yet, until all is or the time is over.
Filled fill(Config config, double seconds, const std::function<void(double)>& progress) {
  const auto start = Clock::now();
  config.run.scheduler = "explore";
  const TrainingGraph training(config);
  const RandomFeeds random(config, training);
  Session session(engine_of(config));
  Executor executor(session, training_plan(config, *training.graph));
  const Coverage coverage(session.engine(), executor.plan());
  const auto share = [&] {
    return static_cast<double>(coverage.known()) /
           static_cast<double>(std::max<size_t>(1, coverage.wanted()));
  };
  {
    const std::jthread ticker([&](const std::stop_token& stop) {
      for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::milliseconds(100)))
        progress(share());
    });
    do executor.run(random.feeds()).wait();
    while (coverage.known() < coverage.wanted() &&
           std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  }
  session.engine().model()->save();
  return {coverage.known(), coverage.wanted()};
}

std::vector<std::pair<std::string, Config>> configs_of(const Arguments& arguments) {
  std::vector<std::pair<std::string, Config>> configs;
  if (!arguments.config.empty()) {
    Config config = load_config(arguments.config, {.overrides = arguments.set, .cores = usable_cores()});
    if (config.model.vocab == 0) config.model.vocab = open_dataset(config).vocab;
    if (!arguments.devices.empty()) config.run.devices = split_devices(arguments.devices);
    configs.emplace_back(arguments.config, config);
    return configs;
  }
  if (!arguments.set.empty()) throw error("--set changes a configuration, and none is given");
  for (DType dtype : {DType::f32, DType::bf16}) {
    Config config = config_of(step_shape_named("gpt30m"), dtype);
    config.run.workers = usable_cores();
    config.run.devices = arguments.devices.empty() ? all_devices() : split_devices(arguments.devices);
    configs.emplace_back(fmt::format("gpt30m {}", name_of(dtype)), config);
  }
  return configs;
}

Json as_json(const std::string& name, const Peaks& peaks) {
  return {{"kind", name},
          {"f32_gflops", rounded(peaks.f32_flops * 1e-9, 4)},
          {"bf16_gflops", rounded(peaks.bf16_flops * 1e-9, 4)},
          {"memory_gb_per_s", rounded(peaks.memory_bytes * 1e-9, 4)},
          {"to_device_gb_per_s", rounded(peaks.to_device_bytes * 1e-9, 4)},
          {"from_device_gb_per_s", rounded(peaks.from_device_bytes * 1e-9, 4)},
          {"task_us", rounded(peaks.task_seconds * 1e6, 3)}};
}

void report(const std::vector<std::string>& kinds, const Filled& filled, bool json) {
  const PerformanceModel model(performance_file());
  Json list = Json::array();
  Table table({"kind", "f32 GF/s", "bf16 GF/s", "memory GB/s", "to it", "from it"});
  const auto number = [](double value) { return value > 0 ? fmt::format("{:.1f}", value * 1e-9) : "-"; };
  for (const std::string& kind : kinds) {
    const Peaks* peaks = model.peaks(kind);
    if (!peaks)
      throw failure("{} cannot be written; set TESSERA_CACHE to a folder", shown(model.file().string()));
    list.push_back(as_json(kind, *peaks));
    table.row({kind, number(peaks->f32_flops), number(peaks->bf16_flops), number(peaks->memory_bytes),
               number(peaks->to_device_bytes), number(peaks->from_device_bytes)});
  }
  if (json)
    return print_line(Json{{"kinds", list},
                           {"tasks_measured", filled.known},
                           {"tasks_wanted", filled.wanted},
                           {"file", model.file().string()}});
  table.print();
  print_line(
      fmt::format("{} of {} tasks measured, kept in {}", filled.known, filled.wanted, model.file().string()));
}

void run(const Arguments& arguments) {
  const auto configs = configs_of(arguments);
  const EngineOptions engine = checked(engine_of(configs[0].second));
  const std::vector<Target> targets = targets_of(parse_devices(configs[0].second.run.devices));
  Filled all;
  {
    Gauge gauge;
    measure_peaks(engine, targets, gauge);
    const double each = (1 - share_of_peaks) / static_cast<double>(configs.size());
    for (size_t k = 0; k < configs.size(); ++k) {
      const auto& [name, config] = configs[k];
      const Filled filled =
          fill(config, arguments.seconds / static_cast<double>(configs.size()), [&, k](double share) {
            gauge.update(share_of_peaks + (static_cast<double>(k) + share) * each,
                         "tasks of " + configs[k].first);
          });
      all.known += filled.known;
      all.wanted += filled.wanted;
    }
  }
  std::vector<std::string> kinds{cpu_kind()};
  for (const Target& target : targets) kinds.push_back(target.kind);
  report(kinds, all, arguments.json);
}

}  // namespace

void add_calibrate(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "calibrate", "Measure each kind of worker, for mixed runs: peaks, copies, and the tasks of a model");
  command->footer(R"(What it finds stays in the user's cache folder, per machine and build. Schedulers and
tiling = "auto" go by it. Takes about a minute for each device.

  tessera calibrate
  tessera calibrate examples/gpt30m.toml --devices cpu:1,opencl:0

JSON: one line with the keys
  kinds           a list of kind, f32_gflops, bf16_gflops (of one worker), memory_gb_per_s,
                  to_device_gb_per_s, from_device_gb_per_s, task_us (around each task)
  tasks_measured tasks_wanted   of the model's unlike tasks, counted per kind of worker
  file            where it is kept)");
  command->add_option("config", arguments->config,
                      "The configuration whose tasks to measure; by default a GPT-2 of 30M parameters");
  command->add_option("--set", arguments->set, "Override a key: --set run.dtype=bf16")
      ->allow_extra_args(false);
  command->add_option("--devices", arguments->devices,
                      "As run.devices, cpu:1,opencl:0; by default those of the configuration, or all");
  command->add_option("--seconds", arguments->seconds, "At most, for the tasks; a step that runs is ended")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 3600.0));
  command->add_flag("--json", arguments->json, "One line of JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
