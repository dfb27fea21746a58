// tessera bench engine: what a task costs besides its kernel.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/engine_plan.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera bench engine
  tessera bench engine --scheduler lws --scheduler dmdas --pattern stencil --task-us 0 --task-us 100

Tasks with three handles (R, R, RW) run through the executor as a training step's do. Patterns: independent
tasks; a chain, in which each waits for the one before; a stencil 64 wide, in which each waits for its neighbours.

JSON: a line per measurement with the keys
  engine scheduler workers pattern task_us   what was measured
  tasks        tasks per step
  us_per_task  wall time per task, the median over the steps
  efficiency   tasks · task_us / (workers · wall); null where the tasks do nothing. At most 1 / workers
               for a chain.)";

struct Options {
  EngineOptions engine;
  std::vector<std::string> schedulers{"lws"};
  std::vector<std::string> patterns{"independent", "chain", "stencil"};
  std::vector<double> task_us{0, 50, 100, 200, 500, 1000};
  int tasks = 12800, steps = 20;
  bool json = false;
};

double median(std::vector<double> values) {
  auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Wall seconds per step: steps follow each other without a pause, as in training.
double seconds_per_step(Session& session, const Plan& plan, int steps) {
  using Clock = std::chrono::steady_clock;
  Executor executor(session, plan);
  std::vector<double> seen;
  Executor::Step before = executor.run();
  auto last = Clock::now();
  for (int step = 0; step < steps + 2; ++step) {
    const Executor::Step next = executor.run();
    before.wait();
    const auto now = Clock::now();
    if (step >= 2) seen.push_back(std::chrono::duration<double>(now - last).count());  // caches are warm
    last = now;
    before = next;
  }
  before.wait();
  return median(std::move(seen));
}

// A step of long tasks has fewer of them.
int tasks_per_step(const Options& options, double task_us, int workers) {
  if (task_us <= 0) return options.tasks;
  return std::min(options.tasks, std::max(256, static_cast<int>(2e5 * workers / task_us)));
}

void measure(const Options& options, Session& session, const std::string& scheduler, Table& table) {
  const int workers = session.engine().workers();
  for (const std::string& name : options.patterns)
    for (double task_us : options.task_us) {
      const EnginePattern pattern = engine_pattern_named(name);
      const int tasks = tasks_per_step(options, task_us, pattern == EnginePattern::chain ? 1 : workers);
      const Plan plan = engine_plan(pattern, tasks, static_cast<int64_t>(task_us * 1e3));
      const double wall = seconds_per_step(session, plan, options.steps);
      const double per_task = wall * 1e6 / tasks, efficiency = task_us / (workers * per_task);
      if (options.json) {
        print_line(Json{{"engine", options.engine.engine},
                        {"scheduler", scheduler},
                        {"workers", workers},
                        {"pattern", name},
                        {"task_us", task_us},
                        {"tasks", tasks},
                        {"us_per_task", rounded(per_task, 4)},
                        {"efficiency", task_us > 0 ? Json(rounded(efficiency, 4)) : Json()}});
        continue;
      }
      table.row({scheduler, name, fmt::format("{}", task_us), fmt::format("{:.2f}", per_task),
                 task_us > 0 ? fmt::format("{:.1f} %", efficiency * 100) : ""});
    }
}

void run(const Options& options) {
  Table table({"scheduler", "pattern", "task µs", "wall µs per task", "efficiency"});
  for (const std::string& pattern : options.patterns) engine_pattern_named(pattern);
  for (const std::string& scheduler : options.schedulers) {
    EngineOptions engine = options.engine;
    engine.scheduler = scheduler;
    Session session(engine);
    measure(options, session, scheduler, table);
  }
  if (!options.json) table.print();
}

}  // namespace

void add_bench_engine(CLI::App& bench) {
  CLI::App* engine = bench.add_subcommand("engine", "µs per task of the engine, and efficiency by task size");
  auto options = std::make_shared<Options>();
  engine->add_option("--engine", options->engine.engine, "starpu, or threads: in-process")
      ->capture_default_str();
  engine->add_option("--scheduler", options->schedulers, "As run.scheduler; may be repeated")
      ->capture_default_str();
  add_workers_option(*engine, options->engine.workers);
  engine->add_option("--pattern", options->patterns, "independent, chain or stencil; may be repeated")
      ->capture_default_str();
  engine->add_option("--task-us", options->task_us, "Length of the tasks in µs; may be repeated")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  engine->add_option("--tasks", options->tasks, "Tasks per step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  engine->add_option("--steps", options->steps, "Steps measured")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  engine->add_flag("--json", options->json, "Print JSON lines");
  engine->footer(help);
  engine->callback([options] { run(*options); });
}

}  // namespace tessera
