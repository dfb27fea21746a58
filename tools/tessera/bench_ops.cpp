// tessera bench ops: each op's kernels on the tiles of real plans, as share of what bounds them.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "models/generate/pass.hpp"
#include "models/train/plans.hpp"
#include "models/train/training_graph.hpp"
#include "runtime/core/error.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/op_rates.hpp"
#include "tools/tessera/output.hpp"
#include "tools/tessera/shapes.hpp"
#include "tools/tessera/step_model.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera bench ops
  tessera bench ops --op matmul --op attention --dtype bf16 --json

The tiles are those of training steps and generation with gpt30m and llama17m. One core works, every call on
tiles that are in no cache (as far as 16,384 copies of them suffice). Bounds are this core's: flops at its matmul ceiling, bytes at the rates at which
it reads memory, or reads and writes it in place; the larger time of the two is the bound, and the share is its part of the time taken.

JSON lines:
  {"what":"bound","f32_gflops":…,"bf16_gflops":…,"read_gb_per_s":…,"update_gb_per_s":…}    one core's
  {"what":"op","op":…,"kernel":…,"dtype":…,"tiles":…,"us":…,"gflops":…,"gb_per_s":…,"bound":"flops" or
   "bytes","share":…}     tiles: what is read > what is written; + where it is added to or changed
  {"what":"missing","op":…}     no plan here uses it)";

struct Arguments {
  std::vector<std::string> ops, dtypes{"f32", "bf16"};
  std::string shape;
  double seconds = 0.05;
  bool all = false, json = false;
};

void print_json(const OpRate& rate, const std::string& dtype) {
  print_line(Json{{"what", "op"},
                  {"op", rate.op},
                  {"kernel", rate.kernel},
                  {"dtype", dtype},
                  {"tiles", rate.tiles},
                  {"us", rounded(rate.seconds * 1e6, 4)},
                  {"gflops", rounded(rate.flops / rate.seconds * 1e-9, 4)},
                  {"gb_per_s", rounded((rate.read_bytes + rate.written_bytes) / rate.seconds * 1e-9, 4)},
                  {"bound", rate.by_flops() ? "flops" : "bytes"},
                  {"share", rounded(rate.share(), 3)}});
}

void add_row(Table& table, const OpRate& rate, const std::string& dtype) {
  constexpr size_t widest = 60;
  table.row({rate.op, rate.kernel, dtype, seconds_text(rate.seconds),
             rate.by_flops()
                 ? fmt::format("{:.1f} GF/s", rate.flops / rate.seconds * 1e-9)
                 : fmt::format("{:.1f} GB/s", (rate.read_bytes + rate.written_bytes) / rate.seconds * 1e-9),
             fmt::format("{:.0f} %", 100 * rate.share()),
             rate.tiles.size() > widest ? rate.tiles.substr(0, widest) + "..." : rate.tiles});
}

// The calls of one training step.
void train(const Config& config, const std::function<void(const Plan&, std::span<const Feed>)>& with) {
  const TrainingGraph training(config);
  const RandomFeeds random(config, training);
  with(training_plan(config, *training.graph), random.feeds());
}

void decode(const Config& config, int64_t rows, int64_t sequences,
            const std::function<void(const Plan&, std::span<const Feed>)>& with) {
  const PassGraph pass(
      config.model,
      {.rows = rows, .sequences = sequences, .capacity = config.model.seq, .dtype = config.run.dtype});
  std::vector<PassRow> filled;
  for (int32_t row = 0; row < rows; ++row) {
    const auto sequence = static_cast<int32_t>(row % sequences);
    const auto before = static_cast<int32_t>((rows - row - 1) / sequences);
    filled.push_back({.token = row,
                      .position = static_cast<int32_t>(config.model.seq) - 1 - before,
                      .sequence = sequence});
  }
  const PassGraph::Values values = pass.values(filled, {.temperature = 1, .top_k = 50, .top_p = 0.9f}, 1);
  with(pass.plan(), pass.feeds(values));
}

void run(const Arguments& arguments) {
  std::set<std::string> wanted(arguments.ops.begin(), arguments.ops.end());
  std::vector<std::string_view> names;
  for (const OpEntry& entry : op_table()) names.push_back(entry.name);
  for (const std::string& op : wanted)
    if (std::find(names.begin(), names.end(), op) == names.end())
      throw error("op {} is not known{}", shown(op), suggestion(op, names));
  std::vector<const StepShape*> shapes;
  if (arguments.shape.empty())
    shapes = {&step_shape_named("gpt30m"), &step_shape_named("llama17m")};
  else
    shapes = {&step_shape_named(arguments.shape)};

  const CoreBounds bounds = measure_core_bounds(std::min(0.2, 4 * arguments.seconds));
  if (arguments.json)
    print_line(Json{{"what", "bound"},
                    {"f32_gflops", rounded(bounds.matmul.f32, 4)},
                    {"bf16_gflops", rounded(bounds.matmul.bf16, 4)},
                    {"read_gb_per_s", rounded(1e-9 * bounds.read, 4)},
                    {"update_gb_per_s", rounded(1e-9 * bounds.update, 4)}});
  Table table({"op", "kernel", "dtype", "time", "rate", "of bound", "tiles read > written"});
  std::set<std::string> met;
  for (const std::string& dtype : arguments.dtypes) {
    std::set<std::string> known;
    const auto with = [&](const Plan& plan, std::span<const Feed> feeds) {
      measure_op_rates(plan, feeds, bounds, known,
                       {.seconds = arguments.seconds,
                        .ops = wanted,
                        .all = arguments.all,
                        .found = [&](const OpRate& rate) {
                          met.insert(rate.op);
                          arguments.json ? print_json(rate, dtype) : add_row(table, rate, dtype);
                        }});
    };
    for (const StepShape* shape : shapes) {
      Config config = config_of(*shape, dtype_named(dtype));
      config.model.layers = 1;  // the others have the same tiles
      config.train.clip = 1;
      train(config, with);
      for (OptimizerKind optimizer : {OptimizerKind::adam, OptimizerKind::rmsprop, OptimizerKind::sgd}) {
        config.train.optimizer = optimizer;
        config.train.dropout = 0.1;
        train(config, with);
      }
      decode(config, std::min<int64_t>(64, shape->seq), 1, with);
      decode(config, 1, 1, with);
      decode(config, 16, 16, with);
    }
  }
  if (!arguments.json) {
    table.print();
    print_line(fmt::format(
        "one core: {:.1f} GF/s f32, {:.1f} GF/s bf16; {:.1f} GB/s reading, {:.1f} GB/s reading and writing",
        bounds.matmul.f32, bounds.matmul.bf16, 1e-9 * bounds.read, 1e-9 * bounds.update));
  }
  for (std::string_view name : names) {
    if (met.contains(std::string(name)) || (!wanted.empty() && !wanted.contains(std::string(name)))) continue;
    arguments.json ? print_line(Json{{"what", "missing"}, {"op", name}})
                   : print_line(fmt::format("{}: not in these plans", name));
  }
}

}  // namespace

void add_bench_ops(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = bench.add_subcommand("ops", "Each op's kernels, as share of what bounds them");
  command->footer(help);
  command->add_option("--op", arguments->ops, "Only this op; may be repeated")->allow_extra_args(false);
  command->add_option("--dtype", arguments->dtypes, "f32 or bf16; may be repeated")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--shape", arguments->shape, "The tiles of this model alone, as in `bench step`");
  command->add_option("--seconds", arguments->seconds, "Time per kernel and shape")
      ->capture_default_str()
      ->check(CLI::Range(0.0001, 60.0));
  command->add_flag("--all", arguments->all,
                    "Tiles of every size, not only the largest of each kind of call");
  command->add_flag("--json", arguments->json, "Print JSON lines");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera
