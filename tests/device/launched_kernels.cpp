// Lowers every case and plays its launches to a queue that only takes notes.
// SPDX-License-Identifier: Apache-2.0
#include "tests/device/launched_kernels.hpp"

#include <algorithm>
#include <unordered_set>

#include "runtime/graph/op.hpp"
#include "runtime/plan/plan.hpp"

namespace tessera {
namespace {

class NotingQueue final : public DeviceQueue {
 public:
  DeviceApi api() const override { return DeviceApi::cuda; }
  std::string device_name() const override { return "none"; }
  DeviceTraits traits() const override { return {.matrix_units = true}; }
  void launch_kernel(const DeviceKernel& kernel, const Grid&, std::span<const LaunchArg>) override {
    if (seen_.insert(kernel).second) kernels.push_back(kernel);
  }
  void copy(const Region&, const Region&, int64_t, int64_t) override {}
  void fill(void*, int64_t, uint8_t) override {}
  void* allocate(size_t) override { return nullptr; }
  void deallocate(void*) override {}
  void read(void*, void*, size_t) override {}
  void write(void*, const void*, size_t) override {}
  void finish() override {}
  void* scratch_bytes(size_t) override { return nullptr; }
  void* fault(std::string) override { return nullptr; }
  bool library_gemm(const Gemm&, const GemmOperands&) override { return false; }
  void end_task() override {}

  std::vector<DeviceKernel> kernels;

 private:
  std::unordered_set<DeviceKernel, DeviceKernelHash> seen_;
};

void play(const Plan& plan, DeviceQueue& queue) {
  for (const Task& task : plan.tasks)
    for (const Stage& stage : task.stages) {
      if (!stage.kernel->gpu) continue;
      std::vector<TileView> views;
      for (const Access& access : stage.accesses) {
        const Tile& tile = plan.tiles[static_cast<size_t>(access.tile)];
        views.push_back({nullptr, tile.dtype, tile.rows, tile.cols, tile.row0, tile.col0});
      }
      stage.kernel->gpu({views, stage.op.get(), stage.params}, queue);
    }
}

void play(const Case& one, bool backward, DeviceQueue& queue) {
  Graph graph;
  std::vector<Tensor> in;
  std::vector<TensorType> types;
  for (const Case::Input& input : one.inputs) types.push_back(input.type);
  const std::vector<TensorType> out_types = one.op->infer(types);
  std::vector<bool> updated(types.size());
  for (size_t k = 0; k < out_types.size(); ++k)
    if (const int source = one.op->alias(static_cast<int>(k)); source >= 0)
      updated[static_cast<size_t>(source)] = true;
  for (size_t k = 0; k < types.size(); ++k) {
    const std::string name = "in" + std::to_string(k);
    in.push_back(updated[k] ? graph.variable(name, types[k].shape, types[k].dtype)
                            : graph.input(name, types[k].shape, types[k].dtype));
  }
  const std::vector<Tensor> out = graph.apply(one.op, in);
  std::vector<Tensor> wanted = out;
  if (backward) {
    if (std::find(updated.begin(), updated.end(), true) != updated.end()) return;
    std::vector<Tensor> d_out(out.size());
    d_out[0] = graph.input("d_out", out_types[0].shape, out_types[0].dtype);
    wanted.clear();
    const std::vector<Tensor> gradients = one.op->grad({in, out, d_out});
    for (size_t k = 0; k < gradients.size(); ++k)
      if (gradients[k] && gradients[k] != d_out[0] && one.inputs[k].differentiate)
        wanted.push_back(gradients[k]);
    if (wanted.empty()) return;
  }
  for (Tensor tensor : wanted) graph.fetch(tensor);
  play(make_plan(graph, {.tiling = Tiling::parse(one.tiling)}), queue);
}

}  // namespace

const std::vector<DeviceKernel>& launched_kernels() {
  static const std::vector<DeviceKernel> all = [] {
    NotingQueue queue;
    for (const OpEntry& entry : op_table())
      for (DType dtype : {DType::f32, DType::bf16, DType::f16})
        for (const Case& one : entry.cases(dtype)) {
          play(one, false, queue);
          if (one.check_gradient) play(one, true, queue);
        }
    return queue.kernels;
  }();
  return all;
}

}  // namespace tessera
