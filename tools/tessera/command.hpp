// The `tessera` command: its subcommands, one file each, and how it ends.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <optional>

#include "runtime/core/dtype.hpp"

namespace tessera {

// Each adds one subcommand, with options, a help that teaches, and what it does.
void add_info(CLI::App& app);
void add_calibrate(CLI::App& app);
void add_ops(CLI::App& app);
void add_train(CLI::App& app);
void add_generate(CLI::App& app);
void add_eval(CLI::App& app);
void add_import(CLI::App& app);
void add_plan(CLI::App& app);
void add_tune(CLI::App& app);
void add_bench(CLI::App& app);
void add_bench_step(CLI::App& bench);

void add_bench_mixed(CLI::App& bench);
void add_bench_ceiling(CLI::App& bench);
void add_bench_device(CLI::App& bench);
void add_bench_engine(CLI::App& bench);
void add_bench_ops(CLI::App& bench);
void add_bench_decode(CLI::App& bench);

// --workers N, from 1 to the cores there are; untouched where it is not given.
void add_workers_option(CLI::App& app, int& workers);

// --kv-dtype: how keys and values are kept while tokens are generated; empty where it is not given.
CLI::Option* add_kv_dtype_option(CLI::App& app, std::optional<DType>& dtype);

// Runs the command line. 0: done; 2: a mistake in what was asked for; 1: a failure while doing it. Either is
// told in one line on stderr.
int run_command(int argc, char** argv);

}  // namespace tessera
