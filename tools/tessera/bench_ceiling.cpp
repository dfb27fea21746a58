// tessera bench ceiling: what the machine could do.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "runtime/core/machine.hpp"
#include "tools/tessera/ceiling.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera bench ceiling
  tessera bench ceiling --workers 1 --json

All workers multiply square matrices at once, each its own, small enough to stay in its cache, with the
right factor as it is and laid out beforehand, as plans do it for weights; the ceiling is the best of all.
Figures of whole steps are stated as shares of it. Then they all read memory.

JSON lines:
  {"what":"matmul","dtype":…,"n":…,"workers":…,"gflops":…}    a size
  {"what":"ceiling","dtype":…,"workers":…,"gflops":…}         the best of them
  {"what":"read","workers":…,"gb_per_s":…}                    read bandwidth, 10^9 bytes/s)";

struct Options {
  int workers = usable_cores();
  double seconds = 0.3;
  bool json = false;
};

void run(const Options& options) {
  const int workers = options.workers;
  std::vector<MatmulRate> rates;
  Table table({"n", "f32 GF/s", "bf16 GF/s"});
  for (int64_t n : {128, 192, 256, 384, 512}) {
    std::vector<std::string> cells{std::to_string(n)};
    for (DType dtype : {DType::f32, DType::bf16}) {
      rates.push_back(measure_matmul(dtype, n, workers, options.seconds));
      cells.push_back(fmt::format("{:.1f}", rates.back().gflops));
      if (options.json)
        print_line(Json{{"what", "matmul"},
                        {"dtype", name_of(dtype)},
                        {"n", n},
                        {"workers", workers},
                        {"gflops", rounded(rates.back().gflops, 4)}});
    }
    table.row(std::move(cells));
  }
  const Ceiling ceiling = ceiling_of(rates);
  const double read = measure_read_bandwidth(workers, options.seconds);
  if (options.json) {
    for (DType dtype : {DType::f32, DType::bf16})
      print_line(Json{{"what", "ceiling"},
                      {"dtype", name_of(dtype)},
                      {"workers", workers},
                      {"gflops", rounded(ceiling.of(dtype), 4)}});
    return print_line(Json{{"what", "read"}, {"workers", workers}, {"gb_per_s", rounded(read * 1e-9, 4)}});
  }
  table.row({"ceiling", fmt::format("{:.1f}", ceiling.f32), fmt::format("{:.1f}", ceiling.bf16)});
  table.print();
  print_line(fmt::format("reading memory: {:.1f} GB/s; {} workers", read * 1e-9, workers));
}

}  // namespace

void add_bench_ceiling(CLI::App& bench) {
  CLI::App* ceiling = bench.add_subcommand("ceiling", "oneDNN's matmul on all workers, and read bandwidth");
  auto options = std::make_shared<Options>();
  add_workers_option(*ceiling, options->workers);
  ceiling->add_option("--seconds", options->seconds, "Time per size")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 60.0));
  ceiling->add_flag("--json", options->json, "Print JSON lines");
  ceiling->footer(help);
  ceiling->callback([options] { run(*options); });
}

}  // namespace tessera
