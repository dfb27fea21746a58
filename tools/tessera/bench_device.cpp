// tessera bench device: what a device's own kernels reach, as shares of its bandwidth, and of CLBlast.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>

#include "codelets/adamw/adamw.hpp"
#include "codelets/add/add.hpp"
#include "codelets/dropout/dropout.hpp"
#include "codelets/gelu/gelu.hpp"
#include "codelets/layer_norm/layer_norm.hpp"
#include "codelets/matmul/gemm.hpp"
#include "codelets/matmul/matmul.hpp"
#include "codelets/matmul/matmul_gpu.hpp"
#include "codelets/rms_norm/rms_norm.hpp"
#include "codelets/rope/rope.hpp"
#include "codelets/scale/scale.hpp"
#include "codelets/silu_mul/silu_mul.hpp"
#include "codelets/sum/sum.hpp"
#include "codelets/transpose/transpose.hpp"
#include "runtime/core/error.hpp"
#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/exec/executor.hpp"
#include "tools/tessera/clblast.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"
#include "tools/tessera/timing.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera bench device
  POCL_MAX_PTHREAD_COUNT=1 tessera bench device --opencl 0 --json
  tessera bench device --cuda 0

The matmul sizes are searched for first. CLBlast's sgemm runs with the parameters that it comes with. On CUDA
the product is cuBLASLt's, and there is nothing beside it; times hold a launch and its end. Bytes are
those that an op must read and write, and its share is of the rate at which the device copies a buffer as large
as the ops' largest tensor: the median of copies made between the ops. PoCL's threads keep a core each, unless
POCL_AFFINITY=0.

JSON lines:
  {"what":"device","name":…,"driver":…,"copy_gb_per_s":…}
  {"what":"matmul","dtype":…,"n":…,"gflops":…,"clblast_gflops":…,"ratio":…}
  {"what":"op","op":…,"kernel":…,"dtype":…,"gb_per_s":…,"share":…})";

constexpr int64_t cols = 1024;

struct Options {
  int opencl = 0, cuda = -1, repeats = 9;
  bool json = false;
};

// What is measured, and how large: well beyond caches, and a GPU's kernels must outlast their launches.
struct Target {
  std::string name, driver;
  std::unique_ptr<DeviceQueue> queue;
  EngineOptions engine;
  int64_t rows;
  std::vector<int64_t> matmul_sizes;
};

Target target_of(const Options& options) {
  if (options.cuda >= 0) {
    auto queue = make_cuda_queue(options.cuda);
    const CudaDevice& device = cuda_devices()[static_cast<size_t>(options.cuda)];
    return {device.name, device.driver, std::move(queue), {.engine = "device", .cuda = {options.cuda}},
            65536,       {4096, 8192}};
  }
  if (!built_with_opencl()) throw error("bench device: this build is without OpenCL");
  auto queue = make_opencl_queue(options.opencl);
  const OpenclDevice& device = opencl_devices()[static_cast<size_t>(options.opencl)];
  return {device.name + " (" + device.platform + ")",       device.driver, std::move(queue),
          {.engine = "device", .opencl = {options.opencl}}, 32768,         {512, 1024}};
}

double copy_bandwidth(DeviceQueue& queue, int64_t bytes, int repeats) {
  const DeviceMemory from(queue, static_cast<size_t>(bytes)), to(queue, static_cast<size_t>(bytes));
  const double seconds = seconds_of(repeats, [&] {
    queue.copy({to.get(), 0, bytes}, {from.get(), 0, bytes}, 1, bytes);
    queue.finish();
  });
  return 2.0 * static_cast<double>(bytes) / seconds;
}

struct MatmulReport {
  DType dtype;
  int64_t n;
  double gflops, clblast_gflops;  // 0 where CLBlast has no such product
};

MatmulReport measure_matmul(DeviceQueue& queue, DType dtype, int64_t n, int repeats) {
  const bool own = queue.api() == DeviceApi::opencl;
  const MatmulSizes sizes = own ? tuned_matmul(queue, dtype) : MatmulSizes();
  const size_t bytes = static_cast<size_t>(n * n) * size_of(dtype);
  const DeviceMemory a(queue, bytes), b(queue, bytes), c(queue, bytes);
  const Gemm shape{.m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n, .a = dtype, .b = dtype, .c = dtype};
  const double ours = seconds_of(repeats, [&] {
    if (own)
      device_matmul(queue, shape, {a.get(), b.get(), c.get()}, {}, sizes);
    else if (!queue.library_gemm(shape, {a.get(), b.get(), c.get()}))
      throw failure("cuBLASLt has no product of {} × {} {}", n, n, name_of(dtype));
    queue.finish();
  });
  const double flops = 2e-9 * static_cast<double>(n * n * n);
  double theirs = 0;
  if (own && dtype == DType::f32)
    theirs = seconds_of(repeats, [&] { clblast_sgemm(queue, n, a.get(), b.get(), c.get()); });
  return {dtype, n, flops / ours, theirs > 0 ? flops / theirs : 0};
}

struct OpReport {
  std::string op, kernel;
  DType dtype;
  double bytes_per_s;
};

// A graph of one op on large tensors.
struct OpGraph {
  Graph graph;
  std::vector<Tensor> inputs;
  DType dtype;
  int64_t rows;

  OpGraph(DType t, int64_t n_rows) : dtype(t), rows(n_rows) {}
  Tensor input(const std::string& name, const Shape& shape, DType t) {
    return inputs.emplace_back(graph.input(name, shape, t));
  }
  Tensor matrix(const std::string& name) { return input(name, {{"rows", rows}, cols}, dtype); }
  Tensor vector(const std::string& name) { return graph.variable(name, {cols}, DType::f32, {}); }
  void fetch(const std::vector<Tensor>& wanted) {
    for (Tensor tensor : wanted) graph.fetch(tensor);
  }
  // y, and the gradients of the sum of its elements.
  void fetch_gradients(Tensor y, const std::vector<Tensor>& of) {
    const Tensor ones = graph.variable(fmt::format("ones of {}", name_of(dtype)), {cols, 1}, dtype, {});
    fetch(graph.grad(sum_rows(matmul(y, ones)), of));
    graph.fetch(y);
  }
};

struct OpCase {
  std::string op;
  std::function<void(OpGraph&)> build;
};

std::vector<OpCase> op_cases() {
  return {
      {"add", [](OpGraph& g) { g.fetch({add(g.matrix("a"), g.matrix("b"))}); }},
      {"scale", [](OpGraph& g) { g.fetch({scale(g.matrix("x"), 0.5f)}); }},
      {"transpose", [](OpGraph& g) { g.fetch({transpose(g.matrix("x"))}); }},
      {"dropout", [](OpGraph& g) { g.fetch({dropout(g.matrix("x"), g.input("rng", {2}, DType::i32), {})}); }},
      {"gelu",
       [](OpGraph& g) {
         const Tensor x = g.matrix("x");
         g.fetch_gradients(gelu(x), {x});
       }},
      {"silu_mul",
       [](OpGraph& g) {
         const Tensor gate = g.matrix("gate"), up = g.matrix("up");
         g.fetch_gradients(silu_mul(gate, up), {gate, up});
       }},
      {"rope",
       [](OpGraph& g) {
         const Tensor x = g.matrix("x"), at = g.input("positions", {{"rows", g.rows}}, DType::i32);
         g.fetch({rope(x, at, {.heads = cols / 64 / 2, .kv_heads = cols / 64 / 4})});
       }},
      {"layer_norm",
       [](OpGraph& g) {
         const Tensor x = g.matrix("x"), gamma = g.vector("gamma"), beta = g.vector("beta");
         g.fetch_gradients(layer_norm(x, gamma, beta), {x, gamma, beta});
       }},
      {"rms_norm",
       [](OpGraph& g) {
         const Tensor x = g.matrix("x"), gamma = g.vector("gamma");
         g.fetch_gradients(rms_norm(x, gamma), {x, gamma});
       }},
      {"adamw",
       [](OpGraph& g) {
         const auto variable = [&](const char* name) {
           return g.graph.variable(name, {{"rows", g.rows}, cols}, DType::f32, {});
         };
         g.fetch(adamw(variable("w"), g.matrix("d_w"), {variable("m"), variable("v")},
                       {g.input("lr", {1}, DType::f32), g.input("step", {1}, DType::i32),
                        g.input("control", {3}, DType::f32)}));
       }},
  };
}

int64_t bytes_of(const Plan& plan, const Stage& stage) {
  int64_t bytes = 0;
  for (const Access& access : stage.accesses)
    bytes += plan.tiles[static_cast<size_t>(access.tile)].bytes() * (access.mode == Mode::update ? 2 : 1);
  return bytes;
}

// Halves, in floats; ones in integers.
std::vector<std::byte> halves(const TensorType& type) {
  std::vector<std::byte> bytes(static_cast<size_t>(type.bytes()));
  const uint32_t value = type.dtype == DType::i32 ? 1 : type.dtype == DType::f32 ? 0x3f000000 : 0x3f003f00;
  for (size_t at = 0; at < bytes.size(); at += sizeof value)
    std::memcpy(bytes.data() + at, &value, std::min(sizeof value, bytes.size() - at));
  return bytes;
}

// Each kernel of the op that moves as much as a matrix: what only gathers sums of rows is left out.
std::vector<OpReport> measure_op(Session& session, const OpCase& one, OpGraph op, int repeats) {
  one.build(op);
  Executor executor(session, make_plan(op.graph, {}), {.record = true, .strict_devices = true});
  std::vector<std::vector<std::byte>> memory;
  std::vector<Feed> feeds;
  for (Tensor input : op.inputs) {
    memory.push_back(halves(input.type()));
    feeds.emplace_back(input, memory.back());
  }
  for (int k = 0; k <= repeats; ++k) {
    executor.run(feeds).wait();
    if (k == 0) executor.clear_records();
  }
  std::map<std::pair<int, int>, std::vector<double>> took;
  for (const auto& worker : executor.records())
    for (const Record& r : worker)
      took[{r.task, r.stage}].push_back(1e-9 * static_cast<double>(r.end - r.begin));
  std::vector<OpReport> reports;
  for (const auto& [where, seconds] : took) {
    const Stage& stage =
        executor.plan().tasks[static_cast<size_t>(where.first)].stages[static_cast<size_t>(where.second)];
    const auto bytes = static_cast<double>(bytes_of(executor.plan(), stage));
    if (bytes < static_cast<double>(op.rows * cols) || stage.kernel->name.starts_with("matmul")) continue;
    reports.push_back({one.op, std::string(stage.kernel->name), op.dtype, bytes / median(seconds)});
  }
  return reports;
}

std::vector<MatmulReport> measure_matmuls(DeviceQueue& queue, const Target& target, int repeats) {
  std::vector<MatmulReport> reports;
  for (DType dtype : {DType::f32, DType::bf16}) {
    if (queue.api() == DeviceApi::opencl) tune_matmul(queue, dtype, {});
    for (int64_t n : target.matmul_sizes) reports.push_back(measure_matmul(queue, dtype, n, repeats));
  }
  return reports;
}

void print(const MatmulReport& r, Table& table, bool json) {
  const double ratio = r.clblast_gflops > 0 ? r.gflops / r.clblast_gflops : 0;
  if (json)
    print_line(Json{{"what", "matmul"},
                    {"dtype", name_of(r.dtype)},
                    {"n", r.n},
                    {"gflops", rounded(r.gflops, 4)},
                    {"clblast_gflops", rounded(r.clblast_gflops, 4)},
                    {"ratio", rounded(ratio, 3)}});
  table.row({std::string(name_of(r.dtype)), std::to_string(r.n), fmt::format("{:.1f}", r.gflops),
             ratio > 0 ? fmt::format("{:.1f}", r.clblast_gflops) : "",
             ratio > 0 ? fmt::format("{:.1f}", ratio) : ""});
}

void print(const OpReport& r, double copy, Table& table, bool json) {
  const double share = r.bytes_per_s / copy;
  if (json)
    print_line(Json{{"what", "op"},
                    {"op", r.op},
                    {"kernel", r.kernel},
                    {"dtype", name_of(r.dtype)},
                    {"gb_per_s", rounded(r.bytes_per_s * 1e-9, 4)},
                    {"share", rounded(share, 3)}});
  table.row({r.op, r.kernel, std::string(name_of(r.dtype)), fmt::format("{:.1f}", r.bytes_per_s * 1e-9),
             fmt::format("{:.0f} %", 100 * share)});
}

void run(const Options& options) {
  setenv("POCL_AFFINITY", "1", 0);  // else two of its threads may share a core for a whole measurement
  const Target target = target_of(options);
  DeviceQueue& queue = *target.queue;
  const std::vector<MatmulReport> matmuls = measure_matmuls(queue, target, options.repeats);
  std::vector<OpReport> ops;
  std::vector<double> copies;
  Session session(target.engine);
  for (const OpCase& one : op_cases())
    for (DType dtype : {DType::f32, DType::bf16}) {
      if (one.op == "adamw" && dtype != DType::f32) continue;
      copies.push_back(copy_bandwidth(queue, target.rows * cols * 4, options.repeats));
      for (OpReport& r : measure_op(session, one, OpGraph(dtype, target.rows), options.repeats))
        ops.push_back(std::move(r));
    }
  const double copy = median(copies);

  if (options.json)
    print_line(Json{{"what", "device"},
                    {"name", target.name},
                    {"driver", target.driver},
                    {"copy_gb_per_s", rounded(copy * 1e-9, 4)}});
  Table matmul_table({"matmul", "n", "GF/s", "CLBlast GF/s", "ratio"});
  for (const MatmulReport& r : matmuls) print(r, matmul_table, options.json);
  Table op_table({"op", "kernel", "dtype", "GB/s", "of copying"});
  for (const OpReport& r : ops) print(r, copy, op_table, options.json);
  if (options.json) return;
  print_line(fmt::format("{}: copies at {:.1f} GB/s, reading and writing", target.name, copy * 1e-9));
  matmul_table.print();
  op_table.print();
}

}  // namespace

void add_bench_device(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand("device", "A device's matmul and row-wise kernels");
  auto options = std::make_shared<Options>();
  command->add_option("--opencl", options->opencl, "The device's index, as `tessera info` lists them")
      ->capture_default_str()
      ->check(CLI::Range(0, 1000));
  command->add_option("--cuda", options->cuda, "A GPU's index, instead")->check(CLI::Range(0, 1000));
  command->add_option("--repeats", options->repeats, "Runs of each, of which the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_flag("--json", options->json, "Print JSON lines");
  command->footer(help);
  command->callback([options] { run(*options); });
}

}  // namespace tessera
