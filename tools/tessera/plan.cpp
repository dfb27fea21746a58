// tessera plan: what a configuration's training step costs, before it runs.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "models/data/dataset.hpp"
#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/machine.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/plan_report.hpp"

namespace tessera {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> set;
  bool dot = false, json = false;
};

void run(const Arguments& arguments) {
  Config config = load_config(arguments.config, {.overrides = arguments.set, .cores = usable_cores()});
  if (config.model.vocab == 0) config.model.vocab = open_dataset(config).vocab;
  const TrainingGraph training(config);
  const Plan plan = training_plan(config, *training.graph);
  if (arguments.dot) return print_line(dot(plan));
  const int workers = static_cast<int>(config.run.workers);
  PlanReport report = report_on(plan, cached_ceiling(workers), workers);
  add_limits(report, plan, config.run);
  arguments.json ? print_json(report) : print_text(report);
}

}  // namespace

void add_plan(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("plan", "What a training step costs, before it runs");
  command->footer(
      std::string(
          "  tessera plan examples/gpt30m.toml\n  tessera plan small.toml --dot | dot -Tsvg > plan.svg\n\n") +
      plan_keys);
  command->add_option("config", arguments->config, "Configuration in TOML; see examples/")->required();
  command->add_option("--set", arguments->set, "Override a key: --set train.batch=4")
      ->allow_extra_args(false);
  command->add_flag("--dot", arguments->dot, "The tasks as a Graphviz graph, for small plans");
  command->add_flag("--json", arguments->json, "JSON lines");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
