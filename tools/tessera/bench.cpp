// tessera bench: measurements of this machine and of Tessera on it.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/command.hpp"

namespace tessera {

void add_bench(CLI::App& app) {
  CLI::App* bench =
      app.add_subcommand("bench", "Measure the machine, the engine, ops, training steps or generation");
  bench->require_subcommand(1);
  bench->footer(
      "Examples:\n  tessera bench ceiling\n  tessera bench engine --scheduler lws\n"
      "Other work on the machine disturbs every figure: look at `uptime` first.");
  add_bench_ceiling(*bench);
  add_bench_device(*bench);
  add_bench_engine(*bench);
  add_bench_step(*bench);
  add_bench_ops(*bench);
  add_bench_decode(*bench);
  add_bench_mixed(*bench);
}

}  // namespace tessera
