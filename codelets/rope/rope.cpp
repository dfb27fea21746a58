// rope: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/rope/rope.hpp"

#include <cmath>

#include "codelets/rope/rope_op.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {
namespace {

const Kernel rope_kernel{.name = "rope", .cpu = rope_cpu, .gpu = rope_gpu, .light = true};
const Kernel rope_backward_kernel{.name = "rope_backward", .cpu = rope_cpu, .gpu = rope_gpu, .light = true};

std::vector<Case> cases(DType t) {
  std::vector<Case> made;
  const auto add = [&](std::string name, const RopeOptions& options, int64_t n, double last_position,
                       std::string tiling, bool inverse = false) {
    auto op = std::make_shared<Rope>(options, inverse);
    made.push_back({.name = std::move(name),
                    .op = op,
                    .inputs = {{{{{"rows", n}, op->layout().qkv_dim()}, t}},
                               {{{{"rows", n}}, DType::i32}, 0, last_position}},
                    .tiling = std::move(tiling),
                    .sum_length = 2});
  };
  using enum RopeOptions::Pairs;
  add("halves", {.heads = 2, .head_dim = 64}, 5, 100, "");
  add("adjacent", {.heads = 2, .head_dim = 64, .pairs = adjacent}, 5, 100, "");
  add("grouped, ragged", {.heads = 6, .kv_heads = 3, .head_dim = 44, .theta = 500}, 33, 3000,
      "rows=8x2|8,9 heads=2,1");
  add("adjacent, grouped, ragged", {.heads = 6, .kv_heads = 3, .head_dim = 22, .pairs = adjacent}, 33, 3000,
      "rows=8x2|8,9 heads=2,1");
  add("large positions", {.heads = 1, .head_dim = 128, .theta = 500000}, 7, 1000000, "");
  add("head_dim 2", {.heads = 3, .head_dim = 2}, 4, 10, "heads=1x3");
  add("inverse", {.heads = 2, .head_dim = 16}, 9, 50, "rows=4,5", true);
  return made;
}

}  // namespace

std::vector<TensorType> Rope::infer(std::span<const TensorType> in) const {
  layout().check(name(), in[0]);
  if (options.head_dim % 2 != 0)
    throw error("{}: head_dim = {} does not fall into pairs", name(), options.head_dim);
  if (!(options.theta >= 1)) throw error("{}: theta = {} is less than 1", name(), options.theta);
  if (in[1].dtype != DType::i32 || in[1].shape.size() != in[0].shape.rows())
    throw error("{}: positions is {} {}, not i32 [{}]", name(), name_of(in[1].dtype), to_string(in[1].shape),
                in[0].shape.rows());
  return {{{in[0].shape[0], layout().qkv_dim()}, in[0].dtype}};
}

std::vector<Tensor> Rope::grad(const GradArgs& args) const {
  return {args.in[0].graph->apply1(std::make_shared<Rope>(options, !inverse), {args.d_out[0], args.in[1]}),
          {}};
}

void Rope::lower(Lowering& to) const {
  const TileGrid& y = to.out(0);
  const TileGrid x = to.in(0, y.rows, y.cols), positions = to.in(1, y.rows, Cuts(1));
  for (int i = 0; i < y.rows.count(); ++i)
    for (int j = 0; j < y.cols.count(); ++j)
      to.task(inverse ? rope_backward_kernel : rope_kernel,
              {read(x(i, j)), read(positions(i)), write(y(i, j))},
              {.flops = 3.0 * static_cast<double>(y.rows.size(i) * y.cols.size(j)), .index = {i, j}});
}

void Rope::reference(HostIn in, HostOut out) const {
  const HeadLayout l = layout();
  const int64_t half = options.head_dim / 2;
  const bool adjacent = options.pairs == RopeOptions::Pairs::adjacent;
  out[0].values = in[0].values;
  for (int64_t r = 0; r < in[0].rows(); ++r)
    for (int64_t head = 0; head < l.kv_heads * (l.group() + 2); ++head) {
      if (head % (l.group() + 2) == l.group() + 1) continue;  // a value
      for (int64_t i = 0; i < half; ++i) {
        const double frequency =
            std::pow(options.theta, -2 * static_cast<double>(i) / static_cast<double>(options.head_dim));
        const double angle = (inverse ? -1 : 1) * in[1][static_cast<size_t>(r)] * frequency;
        const int64_t a = head * options.head_dim + (adjacent ? 2 * i : i), b = adjacent ? a + 1 : a + half;
        out[0](r, a) = in[0](r, a) * std::cos(angle) - in[0](r, b) * std::sin(angle);
        out[0](r, b) = in[0](r, b) * std::cos(angle) + in[0](r, a) * std::sin(angle);
      }
    }
}

Tensor rope(Tensor qkv, Tensor positions, const RopeOptions& options) {
  return qkv.graph->apply1(std::make_shared<Rope>(options), {qkv, positions});
}

OpEntry rope_entry() { return {"rope", {&rope_kernel, &rope_backward_kernel}, cases}; }

}  // namespace tessera
