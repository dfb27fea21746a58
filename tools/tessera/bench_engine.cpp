// tessera bench engine: what a task costs besides its kernel.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "runtime/core/error.hpp"
#include "runtime/exec/executor.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/engine_plan.hpp"
#include "tools/tessera/output.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera bench engine
  tessera bench engine --scheduler lws --scheduler dmdas --pattern stencil --task-us 0 --task-us 100
  tessera bench engine --metg

Tasks with three handles (R, R, RW) run through the executor as a training step's do. Patterns: independent
tasks; a chain, in which each waits for the one before; chains, one per worker; a stencil 64 wide, in which each
waits for its neighbours; a tree of 64 leaves joined by twos, over and over. METG(50 %) is the size of tasks
at which half of the machine is still used.

JSON: a line per measurement with the keys
  engine scheduler workers pattern task_us   what was measured
  tasks               tasks per step
  us_per_task         wall time per task, the median of rounds of several steps
  submit_us_per_task  what the submitting thread spends of it to start a step
  efficiency          tasks · task_us / (workers · wall); null where the tasks do nothing. At most 1 / workers
                      for a chain.
With --metg: engine scheduler workers pattern metg_us; null where it is above 10 ms)";

struct Options {
  EngineOptions engine;
  std::vector<std::string> schedulers{"lws"};
  std::vector<std::string> patterns;
  std::vector<double> task_us{0, 50, 100, 200, 500, 1000};
  int tasks = 12800, steps = 20;
  bool metg = false, json = false;
};

struct StepTimes {
  double wall = 0, submit = 0;  // seconds
};

// Steps follow each other without a pause, as in training, and each begins where workers are through with
// their part of the one before. So the time from one end to the next says nothing, and rounds of several
// steps are timed as a whole; their median.
StepTimes times_of(Session& session, const Plan& plan, int steps) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration time) { return std::chrono::duration<double>(time).count(); };
  constexpr int rounds = 4;
  const int in_round = (steps + rounds - 1) / rounds;
  Executor executor(session, plan);
  for (int k = 0; k < 2; ++k) executor.run().wait();  // caches are warm then
  std::vector<double> walls, submits;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = Clock::now();
    std::optional<Executor::Step> before;
    for (int step = 0; step < in_round; ++step) {
      const auto submit = Clock::now();
      const Executor::Step next = executor.run();  // does not wait: only one step is in flight
      submits.push_back(seconds(Clock::now() - submit));
      if (before) before->wait();
      before = next;
    }
    before->wait();
    walls.push_back(seconds(Clock::now() - begin) / in_round);
  }
  return {median(std::move(walls)), median(std::move(submits))};
}

// A step of long tasks has fewer of them.
int tasks_per_step(const Options& options, double task_us, int workers) {
  if (task_us <= 0) return options.tasks;
  return std::min(options.tasks, std::max(256, static_cast<int>(2e5 * workers / task_us)));
}

struct Measured {
  int tasks = 0;
  double us_per_task = 0, submit_us = 0, efficiency = 0;
};

Measured measure(const Options& options, Session& session, EnginePattern pattern, double task_us) {
  const int workers = session.engine().workers();
  const int tasks = tasks_per_step(options, task_us, pattern == EnginePattern::chain ? 1 : workers);
  const StepTimes times = times_of(session,
                                   engine_plan({.pattern = pattern,
                                                .tasks = tasks,
                                                .nanoseconds = static_cast<int64_t>(task_us * 1e3),
                                                .chains = workers}),
                                   options.steps);
  const double per_task = times.wall * 1e6 / tasks;
  return {tasks, per_task, times.submit * 1e6 / tasks, task_us / (workers * per_task)};
}

// By doubling, then by halving the interval four times on a scale of ratios: within 5 %.
std::optional<double> metg_us(const Options& options, Session& session, EnginePattern pattern) {
  auto enough = [&](double task_us) { return measure(options, session, pattern, task_us).efficiency >= 0.5; };
  double above = 0.5;
  while (!enough(above)) {
    above *= 2;
    if (above > 1e4) return {};
  }
  double below = above / 2;
  for (int i = 0; i < 4; ++i) {
    const double middle = std::sqrt(below * above);
    (enough(middle) ? above : below) = middle;
  }
  return above;
}

void find_metg(const Options& options, Session& session, const std::string& scheduler, Table& table) {
  for (const std::string& name : options.patterns) {
    const std::optional<double> metg = metg_us(options, session, engine_pattern_named(name));
    if (options.json)
      print_line(Json{{"engine", options.engine.engine},
                      {"scheduler", scheduler},
                      {"workers", session.engine().workers()},
                      {"pattern", name},
                      {"metg_us", metg ? Json(rounded(*metg, 3)) : Json()}});
    else
      table.row({scheduler, name, metg ? fmt::format("{:.2f}", *metg) : "above 10 ms"});
  }
}

void measure_grid(const Options& options, Session& session, const std::string& scheduler, Table& table) {
  for (const std::string& name : options.patterns)
    for (double task_us : options.task_us) {
      const Measured seen = measure(options, session, engine_pattern_named(name), task_us);
      if (options.json) {
        print_line(Json{{"engine", options.engine.engine},
                        {"scheduler", scheduler},
                        {"workers", session.engine().workers()},
                        {"pattern", name},
                        {"task_us", task_us},
                        {"tasks", seen.tasks},
                        {"us_per_task", rounded(seen.us_per_task, 4)},
                        {"submit_us_per_task", rounded(seen.submit_us, 4)},
                        {"efficiency", task_us > 0 ? Json(rounded(seen.efficiency, 4)) : Json()}});
        continue;
      }
      table.row({scheduler, name, fmt::format("{}", task_us), fmt::format("{:.2f}", seen.submit_us),
                 fmt::format("{:.2f}", seen.us_per_task),
                 task_us > 0 ? fmt::format("{:.1f} %", seen.efficiency * 100) : ""});
    }
}

void run(Options options) {
  if (options.patterns.empty()) {
    const std::vector<std::string> all(engine_patterns.begin(), engine_patterns.end());
    options.patterns = options.metg ? std::vector<std::string>{"chains", "stencil", "tree"} : all;
  }
  Table table(options.metg ? std::vector<std::string>{"scheduler", "pattern", "METG(50 %) µs"}
                           : std::vector<std::string>{"scheduler", "pattern", "task µs", "submit µs per task",
                                                      "wall µs per task", "efficiency"});
  for (const std::string& pattern : options.patterns) engine_pattern_named(pattern);
  for (const std::string& scheduler : options.schedulers) {
    EngineOptions engine = options.engine;
    engine.scheduler = scheduler;
    Session session(engine);
    options.metg ? find_metg(options, session, scheduler, table)
                 : measure_grid(options, session, scheduler, table);
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
  engine->add_option("--pattern", options->patterns,
                     "independent, chain, chains, stencil or tree; may be repeated (default: all)");
  engine->add_option("--task-us", options->task_us, "Length of the tasks in µs; may be repeated")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1e6));
  engine->add_option("--tasks", options->tasks, "Tasks per step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  engine->add_option("--steps", options->steps, "Steps measured")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  engine->add_flag("--metg", options->metg,
                   "The smallest useful task instead, by default on chains, stencil and tree");
  engine->add_flag("--json", options->json, "Print JSON lines");
  engine->footer(help);
  engine->callback([options] { run(*options); });
}

}  // namespace tessera
