// Parsing the command line, and turning what goes wrong into one line and an exit code.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tessera/command.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <new>

#include "runtime/core/error.hpp"
#include "runtime/core/machine.hpp"
#include "runtime/core/text.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

int complain(int code, std::string message) {
  for (char& c : message)
    if (c == '\n') c = ' ';
  fmt::print(stderr, "tessera: {}\n", message);
  return code;
}

// "tessera bench engine"
std::string path_of(const CLI::App& app) {
  return app.get_parent() ? path_of(*app.get_parent()) + " " + app.get_name() : app.get_name();
}

std::vector<std::string> names_of(const CLI::App& app, bool options) {
  std::vector<std::string> names;
  if (options) {
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  } else {
    for (const CLI::App* sub : app.get_subcommands(nullptr)) names.push_back(sub->get_name());
  }
  return names;
}

// CLI11's own messages do not say which word was not understood where a subcommand is missing or misspelled.
std::string explain(CLI::App& root, const CLI::ParseError& problem) {
  CLI::App* at = &root;
  while (!at->get_subcommands().empty()) at = at->get_subcommands()[0];
  const std::string way_out = fmt::format("; see `{} --help`", path_of(*at));
  const std::vector<std::string> rest = at->remaining();
  const bool has_subcommands = !at->get_subcommands(nullptr).empty();
  const bool option = !rest.empty() && rest[0].starts_with("-");
  const std::vector<std::string> names = names_of(*at, option);
  const std::vector<std::string_view> known(names.begin(), names.end());
  if (!rest.empty()) {
    if (!option && !has_subcommands) return fmt::format("unexpected argument {}", shown(rest[0])) + way_out;
    const std::string_view near = nearest(option ? rest[0].substr(0, rest[0].find('=')) : rest[0], known);
    return fmt::format("unknown {} {}", option ? "option" : "subcommand", shown(rest[0])) +
           (!near.empty() ? fmt::format(", is '{}' meant?", near)
            : option      ? ""
                          : fmt::format("; known are {}", listed(known))) +
           way_out;
  }
  if (has_subcommands && dynamic_cast<const CLI::RequiredError*>(&problem) != nullptr)
    return fmt::format("a subcommand is needed: {}", listed(known)) + way_out;
  return problem.what() + way_out;
}

}  // namespace

void add_workers_option(CLI::App& app, int& workers) {
  app.add_option("--workers", workers, "CPU workers (default: one per core)")
      ->check([](const std::string& text) {
        int value = 0;
        const bool number = CLI::detail::lexical_cast(text, value);
        if (number && value >= 1 && value <= usable_cores()) return std::string();
        return fmt::format("{} is no number of workers here: 1 to {}", shown(text), usable_cores());
      });
}

CLI::Option* add_kv_dtype_option(CLI::App& app, std::optional<DType>& dtype) {
  return app
      .add_option_function<std::string>(
          "--kv-dtype", [&dtype](const std::string& name) { dtype = dtype_named(name); },
          "To keep keys and values in, f32, bf16 or f16 (default: as --dtype): 16 bits halve what each token "
          "reads")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
}

int run_command(int argc, char** argv) {
  if (!spdlog::get("tessera"))
    spdlog::set_default_logger(spdlog::stderr_color_mt("tessera"));  // not among JSON
  spdlog::set_pattern("tessera: %l: %v");
  CLI::App app("Train and run transformers as graphs of tile tasks.", "tessera");
  app.set_version_flag("--version", TESSERA_VERSION);
  app.require_subcommand(1);
  app.footer("Example:\n  tessera info\nEvery subcommand explains itself: tessera bench --help");
  add_info(app);
  add_calibrate(app);
  add_ops(app);
  add_train(app);
  add_generate(app);
  add_eval(app);
  add_import(app);
  add_plan(app);
  add_tune(app);
  add_bench(app);
  try {
    app.parse(argc, argv);
    flush_output();
    return 0;
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() == 0) return app.exit(problem);  // --help, --version
    return complain(2, explain(app, problem));
  } catch (const Error& problem) {
    return complain(2, problem.what());
  } catch (const std::bad_alloc&) {
    return complain(1, "out of memory; take a smaller model, batch or seq");
  } catch (const std::exception& problem) {
    return complain(1, std::ferror(stdout) != 0 ? output_failed : problem.what());
  }
}

}  // namespace tessera
