// The command line: exit codes, one-line errors that name the thing, and documented JSON keys.
// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "runtime/core/machine.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/graph/op.hpp"
#include "tests/tools/run_program.hpp"

namespace tessera {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> keys_of(const std::string& line) {
  std::vector<std::string> keys;
  const auto parsed = nlohmann::ordered_json::parse(line);
  for (const auto& [key, value] : parsed.items()) keys.push_back(key);
  return keys;
}

struct Mistake {
  std::string arguments;
  std::vector<std::string> told;  // what the line must contain
};

class Mistakes : public testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, AreOneLineAndExitCode2) {
  const Outcome outcome = run_program(GetParam().arguments);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.starts_with("tessera: ")) << outcome.err;
  EXPECT_LT(outcome.err.size(), 400u) << outcome.err;
  for (const std::string& word : GetParam().told) EXPECT_THAT(outcome.err, HasSubstr(word));
}

INSTANTIATE_TEST_SUITE_P(
    Command, Mistakes,
    testing::Values(Mistake{"", {"subcommand", "info", "bench", "tessera --help"}},
                    Mistake{"inof", {"'inof'", "'info'", "tessera --help"}},
                    Mistake{"frobnicate", {"'frobnicate'", "info, calibrate, ops"}},
                    Mistake{"--frobnicate", {"'--frobnicate'", "tessera --help"}},
                    Mistake{"$'in\\nfo'", {"tessera --help"}},
                    Mistake{"info --jsno", {"'--jsno'", "'--json'", "tessera info --help"}},
                    Mistake{"info everything", {"'everything'", "tessera info --help"}},
                    Mistake{"bench", {"subcommand", "ceiling, device, engine", "tessera bench --help"}},
                    Mistake{"bench ceilign", {"'ceilign'", "'ceiling'", "tessera bench --help"}},
                    Mistake{"bench engine --tasks", {"--tasks", "tessera bench engine --help"}},
                    Mistake{"bench engine --tasks many", {"--tasks", "many"}},
                    Mistake{"bench engine --tasks 0", {"--tasks", "1"}},
                    Mistake{"bench engine --workers 0", {"--workers", "'0'", "1 to"}},
                    Mistake{"bench engine --workers 100000", {"--workers", "'100000'", "1 to"}},
                    Mistake{"bench engine --workers two", {"--workers", "'two'", "1 to"}},
                    Mistake{"bench engine --engine starpo", {"'starpo'", "starpu, threads or device"}},
                    Mistake{"bench engine --scheduler lsw", {"'lsw'", "'lws'"}},
                    Mistake{"bench engine --pattern chian", {"'chian'", "'chain'"}},
                    Mistake{"bench step --shape gpt30n", {"'gpt30n'", "'gpt30m'"}},
                    Mistake{"bench step --dtype f64", {"--dtype", "f64", "bf16"}},
                    Mistake{"bench step --layers 0", {"--layers", "1"}},
                    Mistake{"bench step --steps 0", {"--steps", "1"}}, Mistake{"tune", {"config"}},
                    Mistake{"tune nowhere.toml", {"nowhere.toml"}},
                    Mistake{"tune gpt30n", {"'gpt30n'", "'gpt30m'"}},
                    Mistake{"tune chargpt --write", {"'chargpt' is no file", "--write"}},
                    Mistake{"bench decode", {"model"}},
                    Mistake{"bench decode llama17n", {"'llama17n'", "'llama17m'"}},
                    Mistake{"bench decode /", {"config.json"}},
                    Mistake{"bench decode chargpt --batch 0", {"--batch", "1"}},
                    Mistake{"bench decode chargpt --dtype f64", {"--dtype", "f64"}},
                    Mistake{"bench ops --op matmull", {"'matmull'", "'matmul'"}},
                    Mistake{"bench ops --dtype f64", {"--dtype", "f64", "bf16"}},
                    Mistake{"bench ops --shape gpt30n", {"'gpt30n'", "'gpt30m'"}},
                    Mistake{"bench mixed --devices cpu:1", {"no device", "cpu:1,opencl:0"}},
                    Mistake{"bench mixed --devices gpu:1", {"'gpu:1'"}},
                    Mistake{"calibrate --devices cpu:1,opencl:99", {"opencl:99", "tessera info"}},
                    Mistake{"calibrate --devices opencl:0", {"no CPU workers", "cpu:1"}},
                    Mistake{"calibrate --set run.dtype=bf16", {"--set", "configuration"}},
                    Mistake{"calibrate nowhere.toml", {"nowhere.toml"}},
                    Mistake{"bench ceiling --seconds -1", {"--seconds", "-1"}},
                    Mistake{"bench ceiling --workers 0", {"--workers", "'0'"}}),
    [](const auto& mistake) { return std::to_string(mistake.index); });

TEST(Command, EverySubcommandTeachesWithAnExample) {
  for (const std::string path : {"", "info", "calibrate", "ops", "train", "generate", "eval", "import",
                                 "plan", "tune", "bench", "bench ceiling", "bench device", "bench engine",
                                 "bench ops", "bench decode", "bench step", "bench mixed"}) {
    const Outcome outcome = run_program(path + " --help");
    EXPECT_EQ(outcome.code, 0) << path;
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, HasSubstr("\n  tessera " + path)) << path;
  }
}

TEST(Command, TellsItsVersion) {
  const Outcome outcome = run_program("--version");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Command, AFullDiskIsAFailure) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  for (const std::string command : {"info", "info --json", "ops", "ops --json"}) {
    const Outcome outcome = run_program(command + " >/dev/full");
    EXPECT_EQ(outcome.code, 1) << command;
    EXPECT_THAT(outcome.err, HasSubstr("standard output"));
  }
}

TEST(Command, InfoNamesTheMachine) {
  const Outcome outcome = run_program("info --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(keys_of(outcome.out),
              ElementsAre("cpu", "nodes", "packages", "cores", "threads", "caches", "memories", "devices",
                          "available_bytes", "workers", "schedulers", "machine"));
  const json line = outcome.json_lines().at(0);
  EXPECT_EQ(line.at("cores"), Machine::here().cores);
  EXPECT_EQ(line.at("workers").at("cpu"), usable_cores());
  EXPECT_EQ(Machine::parse(line.at("machine").get<std::string>()), Machine::here());
  for (const json& cache : line.at("caches")) EXPECT_GT(cache.at("bytes"), 1024);
  for (const json& memory : line.at("memories")) EXPECT_GT(memory.at("cores"), 0);
  EXPECT_THAT(line.at("schedulers").get<std::vector<std::string>>(),
              testing::IsSupersetOf({"lws", "eager", "dmdas"}));
  EXPECT_THAT(run_program("info").out, HasSubstr("NUMA node 0"));
}

TEST(Command, InfoListsEveryDevice) {
  const std::string cache = testing::TempDir() + "/empty_cache";
  const Outcome outcome = run_program("info --json", "TESSERA_CACHE=" + cache);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json line = outcome.json_lines().at(0);
  const json& devices = line.at("devices");
  ASSERT_EQ(devices.size(), 1 + opencl_devices().size() + cuda_devices().size());
  EXPECT_EQ(devices[0].at("device"), "cpu");
  EXPECT_EQ(devices[0].at("name"), Machine::here().cpu);
  EXPECT_EQ(devices[0].at("numa").size(), Machine::here().memories.size());
  EXPECT_EQ(line.at("workers").at("opencl"), opencl_devices().size());
  for (size_t k = 0; k < devices.size(); ++k) {
    for (const char* key : {"name", "driver", "pci", "link_gb_per_s"}) EXPECT_TRUE(devices[k].contains(key));
    EXPECT_GT(devices[k].at("bytes"), 1 << 20);
    EXPECT_GT(devices[k].at("units"), 0);
    EXPECT_TRUE(devices[k].at("matmul_gflops").is_null()) << "nothing was measured";
    EXPECT_TRUE(devices[k].at("copy_gb_per_s").is_null());
    if (k > 0 && k <= opencl_devices().size()) {
      EXPECT_EQ(devices[k].at("device"), fmt::format("opencl:{}", k - 1));
    }
  }
  EXPECT_THAT(run_program("info", "TESSERA_CACHE=" + cache).out, HasSubstr("run tessera calibrate"));
}

TEST(Command, InfoWorksWithoutDrivers) {
  const Outcome outcome = run_program("info --json", "OCL_ICD_VENDORS=/nowhere CUDA_VISIBLE_DEVICES=");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const json line = outcome.json_lines().at(0);
  EXPECT_EQ(line.at("devices").size(), 1u);
  EXPECT_EQ(line.at("workers").at("opencl"), 0);
}

TEST(Command, OpsListsEveryOpInEveryDtype) {
  const Outcome outcome = run_program("ops --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::set<std::pair<std::string, std::string>> rows;
  for (const json& line : outcome.json_lines()) {
    EXPECT_EQ(line.size(), 5u);
    for (const char* backend : {"cpu", "opencl", "cuda"}) EXPECT_NE(line.at(backend), "");
    rows.emplace(line.at("op"), line.at("dtype"));
    if (line.at("op") == "matmul") {
      EXPECT_EQ(line.at("cpu"), "yes");
    }
  }
  EXPECT_EQ(rows.size(), 2 * op_table().size());
  EXPECT_THAT(run_program("ops").out, HasSubstr("matmul"));
}

TEST(Command, BenchCeilingMeasuresBothDtypes) {
  const Outcome outcome = run_program("bench ceiling --workers 1 --seconds 0.002 --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::map<std::string, double> ceilings, best;
  for (const json& line : outcome.json_lines()) {
    EXPECT_EQ(line.at("workers"), 1);
    if (line.at("what") == "read") {
      EXPECT_GT(line.at("gb_per_s"), 0.01);
      continue;
    }
    const std::string dtype = line.at("dtype");
    const double gflops = line.at("gflops");
    EXPECT_GT(gflops, 0.01);
    if (line.at("what") == "ceiling") ceilings[dtype] = gflops;
    if (line.at("what") == "matmul") best[dtype] = std::max(best[dtype], gflops);
  }
  EXPECT_EQ(ceilings.size(), 2u);
  EXPECT_EQ(ceilings, best);
}

TEST(Command, BenchOpsMeasuresEveryDtype) {
  const Outcome outcome =
      run_program("bench ops --shape chargpt --op adamw --op layer_norm --seconds 0.0001 --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::set<std::pair<std::string, std::string>> seen;
  for (const json& line : outcome.json_lines()) {
    if (line.at("what") == "bound") {
      EXPECT_GT(line.at("bf16_gflops"), 0.01);
      EXPECT_GT(line.at("update_gb_per_s"), 0.01);
      continue;
    }
    ASSERT_EQ(line.at("what"), "op");
    seen.emplace(line.at("kernel").get<std::string>(), line.at("dtype").get<std::string>());
    EXPECT_GT(line.at("us"), 0);
    EXPECT_GT(line.at("share"), 0);
    EXPECT_THAT(line.at("tiles").get<std::string>(), HasSubstr(" > "));
  }
  for (const char* kernel : {"adamw", "layer_norm", "layer_norm_backward"})
    for (const char* dtype : {"f32", "bf16"}) EXPECT_TRUE(seen.contains({kernel, dtype})) << kernel << dtype;
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_THAT(run_program("bench ops --shape chargpt --op retile --seconds 0.0001").out,
              HasSubstr("retile: not in these plans"));
}

TEST(Command, BenchEngineMeasuresEveryPattern) {
  const Outcome outcome = run_program(
      "bench engine --engine threads --workers 1 --tasks 256 --steps 2 --task-us 0 --task-us 20 --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<json> lines = outcome.json_lines();
  ASSERT_EQ(lines.size(), 10u);
  std::istringstream text(outcome.out);
  for (std::string line; std::getline(text, line);)
    EXPECT_THAT(keys_of(line), ElementsAre("engine", "scheduler", "workers", "pattern", "task_us", "tasks",
                                           "us_per_task", "submit_us_per_task", "efficiency"));
  for (const json& line : lines) {
    EXPECT_GE(line.at("us_per_task"), line.at("task_us"));
    EXPECT_GT(line.at("submit_us_per_task"), 0);
    EXPECT_EQ(line.at("efficiency").is_null(), line.at("task_us") == 0);
    if (line.at("task_us") != 0) {
      EXPECT_THAT(line.at("efficiency").get<double>(), AllOf(testing::Gt(0), testing::Le(1)));
    }
  }
}

TEST(Command, BenchEngineFindsTheSmallestUsefulTask) {
  const Outcome outcome = run_program(
      "bench engine --engine threads --workers 1 --tasks 256 --steps 2 --pattern chains --pattern tree "
      "--metg --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<json> lines = outcome.json_lines();
  ASSERT_EQ(lines.size(), 2u);
  for (const json& line : lines) {
    EXPECT_GT(line.at("metg_us"), 0);
    EXPECT_LT(line.at("metg_us"), 1e5);
  }
  EXPECT_EQ(lines[1].at("pattern"), "tree");
}

}  // namespace
}  // namespace tessera
