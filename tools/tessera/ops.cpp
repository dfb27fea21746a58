// tessera ops: which op runs where, in which storage type.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "runtime/device/cuda.hpp"
#include "runtime/device/opencl.hpp"
#include "runtime/graph/op.hpp"
#include "runtime/plan/kernel.hpp"
#include "tools/tessera/command.hpp"
#include "tools/tessera/output.hpp"

namespace tessera {
namespace {

constexpr auto help = R"(Examples:
  tessera ops
  tessera ops --json | grep '"op":"matmul"'

JSON: a line per op and storage type with the keys
  op dtype           e.g. "matmul", "bf16"
  cpu opencl cuda    "yes", or the reason why not)";

// An op runs on a backend where all its kernels do.
template <class Has>
std::string availability(const OpEntry& op, DType dtype, std::string_view backend, Has has) {
  if (op.cases(dtype).empty()) return fmt::format("not an op on {}", name_of(dtype));
  for (const Kernel* kernel : op.kernels)
    if (!has(*kernel))
      return fmt::format("kernel {} runs elsewhere: it has no {} form", kernel->name, backend);
  return "yes";
}

void list_ops(bool json) {
  Table table({"op", "dtype", "cpu", "opencl", "cuda"});
  for (const OpEntry& op : op_table())
    for (DType dtype : {DType::f32, DType::bf16}) {
      const auto on_device = [](const Kernel& k) { return k.gpu != nullptr; };
      const auto where_built = [&](bool built, std::string_view backend) {
        return built ? availability(op, dtype, backend, on_device) : fmt::format("built without {}", backend);
      };
      const std::string cpu =
          availability(op, dtype, "CPU", [](const Kernel& k) { return k.cpu != nullptr; });
      const std::string opencl = where_built(built_with_opencl(), "OpenCL");
      const std::string cuda = where_built(built_with_cuda(), "CUDA");
      if (json)
        print_line(Json{
            {"op", op.name}, {"dtype", name_of(dtype)}, {"cpu", cpu}, {"opencl", opencl}, {"cuda", cuda}});
      else
        table.row({std::string(op.name), std::string(name_of(dtype)), cpu, opencl, cuda});
    }
  if (!json) table.print();
}

}  // namespace

void add_ops(CLI::App& app) {
  CLI::App* ops = app.add_subcommand("ops", "The ops, and where each of them runs");
  auto json = std::make_shared<bool>(false);
  ops->add_flag("--json", *json, "Print a line of JSON per op and storage type");
  ops->footer(help);
  ops->callback([json] { list_ops(*json); });
}

}  // namespace tessera
