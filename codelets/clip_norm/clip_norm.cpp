// clip_norm: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/clip_norm/clip_norm.hpp"

#include <cmath>

#include "codelets/clip_norm/control.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void sum_squares_cpu(const TileArgs& args);
void sum_squares_gpu(const TileArgs& args, DeviceQueue& queue);
void clip_norm_cpu(const TileArgs& args);
void clip_norm_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel sum_squares_kernel{
    .name = "sum_squares", .cpu = sum_squares_cpu, .gpu = sum_squares_gpu, .light = true};
const Kernel clip_norm_kernel{.name = "clip_norm", .cpu = clip_norm_cpu, .gpu = clip_norm_gpu};

struct ClipNorm final : ClipNormOp {
  using ClipNormOp::ClipNormOp;
  std::string_view name() const override { return "clip_norm"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (in.empty()) throw error("clip_norm: there are no gradients");
    for (size_t k = 0; k < in.size(); ++k)
      if (!is_float(in[k].dtype)) throw error("clip_norm: gradient {} is {}", k, name_of(in[k].dtype));
    return {{Shape{3}, DType::f32}};
  }

  void lower(Lowering& to) const override {
    std::vector<Access> accesses{write(to.out(0)(0))};
    for (int k = 0; k < to.n_inputs(); ++k)
      for (TileId tile : to.in(k).tiles) {
        const TileId part = to.temporary(DType::f32, 1, 1);
        to.task(sum_squares_kernel, {read(tile), write(part)},
                {.flops = 2.0 * static_cast<double>(to.tile(tile).rows * to.tile(tile).cols),
                 .index = {k, static_cast<int>(accesses.size()) - 1}});
        accesses.push_back(read(part));
      }
    to.task(clip_norm_kernel, std::move(accesses));
  }

  void reference(HostIn in, HostOut out) const override {
    double sum = 0;
    for (const HostArray& grad : in)
      for (double g : grad.values) sum += g * g;
    const double norm = std::sqrt(sum);
    const bool finite = std::isfinite(norm);
    out[0].values = {finite && options.max_norm > 0 ? std::min(1.0, options.max_norm / (norm + 1e-6)) : 1.0,
                     finite ? 1.0 : 0.0, norm};
  }
};

std::vector<Case> cases(DType t) {
  auto clip = [](double max_norm) {
    return std::make_shared<ClipNorm>(ClipNormOptions{.max_norm = max_norm});
  };
  const TensorType matrix{{{"in", 33}, {"out", 70}}, t}, vector{{{"out", 70}}, t}, scalar{{}, t};
  const std::string tiling = "in=8x2|8,9 out=32,30|8";
  auto made = [](const std::string& name, std::shared_ptr<const Op> op, std::vector<Case::Input> inputs,
                 const std::string& cuts, int64_t length) {
    return Case{.name = name,
                .op = std::move(op),
                .inputs = std::move(inputs),
                .tiling = cuts,
                .sum_length = length,
                .check_gradient = false};
  };
  return {
      made("clipped", clip(0.5), {{matrix}, {vector}, {scalar}}, tiling, 2381),
      made("below the bound", clip(1000), {{matrix}, {vector}}, tiling, 2380),
      made("no bound", clip(0), {{vector}, {matrix}}, tiling, 2380),
      made("large tiles", clip(0.5), {{{{130, 100}, t}}, {{{5000}, t}}}, "", 18000),
      made("many tiles", clip(0.5), {{matrix}, {vector}}, "in=3x11 out=32,30|8", 2380),
      made("one gradient", clip(1), {{{{4, 8}, t}}}, "", 32),
      made("all zero", clip(1), {{.type = vector, .low = 0, .high = 0}}, "", 1),
  };
}

}  // namespace

Tensor clip_norm(std::vector<Tensor> grads, ClipNormOptions options) {
  if (grads.empty()) throw error("clip_norm: there are no gradients");
  Graph* graph = grads[0].graph;
  return graph->apply1(std::make_shared<ClipNorm>(options), std::move(grads));
}

OpEntry clip_norm_entry() { return {"clip_norm", {&sum_squares_kernel, &clip_norm_kernel}, cases}; }

}  // namespace tessera
