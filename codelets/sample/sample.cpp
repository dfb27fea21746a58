// sample: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/sample/sample.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "codelets/sample/sample_op.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {
namespace {

const Kernel sample_kernel{.name = "sample", .cpu = sample_cpu, .gpu = sample_gpu};

Case sample_case(DType t, std::string name, int64_t rows, int64_t vocab, std::vector<double> params,
                 std::string tiling) {
  return {.name = std::move(name),
          .op = std::make_shared<Sample>(3),
          .inputs = {{{{{"rows", rows}, {"vocab", vocab}}, t}, -6, 6},
                     {{{2}, DType::i32}, 0, 0, {42, 17}},
                     {{{3}, DType::f32}, 0, 0, std::move(params)}},
          .tiling = std::move(tiling),
          .check_gradient = false};
}

std::vector<Case> cases(DType t) {
  std::vector<Case> made = {
      sample_case(t, "greedy", 5, 100, {0, 0, 1}, ""),
      sample_case(t, "greedy, cut", 33, 100, {0, 40, 0.5}, "rows=8x2|8,9 vocab=30x3,10"),
      sample_case(t, "whole vocabulary", 40, 300, {1, 0, 1}, "rows=16x2,8"),
      sample_case(t, "temperature", 40, 77, {0.3, 0, 1}, ""),
      sample_case(t, "top k", 40, 300, {2, 5, 1}, "rows=30,10 vocab=200,100"),
      sample_case(t, "top p", 40, 300, {0.7, 0, 0.8}, ""),
      sample_case(t, "top p of the whole vocabulary", 9, 5000, {5, 0, 0.95}, "rows=5,4"),
      sample_case(t, "top k, then top p", 40, 300, {1.5, 20, 0.6}, ""),
      sample_case(t, "a very small top p", 12, 300, {1, 0, 1e-9}, ""),
      sample_case(t, "more than there are", 12, 10, {1, 50, 1}, ""),
      sample_case(t, "one token", 3, 1, {1, 0, 1}, ""),
  };
  Case ties = sample_case(t, "equal logits", 30, 50, {1, 7, 0.6}, "");
  ties.inputs[0].values = {0.5, 1, 1, -1, 1, 0.25, 1};
  made.push_back(ties);
  ties.name = "greedy, equal logits";
  ties.inputs[2].values = {0, 0, 1};
  made.push_back(std::move(ties));
  return made;
}

}  // namespace

std::vector<TensorType> Sample::infer(std::span<const TensorType> in) const {
  if (!is_float(in[0].dtype) || in[0].shape.rank() != 2)
    throw error("sample: logits is {} {}, not [rows, vocab]", name_of(in[0].dtype), to_string(in[0].shape));
  if (in[1].dtype != DType::i32 || in[1].shape.size() != 2)
    throw error("sample: rng is {} {}, not i32 [2] = {{seed, step}}", name_of(in[1].dtype),
                to_string(in[1].shape));
  if (in[2].dtype != DType::f32 || in[2].shape.size() != 3)
    throw error("sample: params is {} {}, not f32 [3] = {{temperature, top_k, top_p}}", name_of(in[2].dtype),
                to_string(in[2].shape));
  return {{{in[0].shape[0]}, DType::i32}};
}

void Sample::lower(Lowering& to) const {
  const TileGrid& y = to.out(0);
  const TileGrid logits = to.in(0, y.rows, Cuts(to.in_type(0).shape.cols()));
  const TileGrid rng = to.in(1, Cuts(2), Cuts(1)), params = to.in(2, Cuts(3), Cuts(1));
  for (int i = 0; i < y.rows.count(); ++i)
    to.task(sample_kernel, {read(logits(i)), read(rng(0)), read(params(0)), write(y(i))},
            {.flops = 4.0 * static_cast<double>(y.rows.size(i) * logits.cols.total()), .index = {i, 0}});
}

// By sorting everything: the kernel sorts as little as it can.
void Sample::reference(HostIn in, HostOut out) const {
  const HostArray& logits = in[0];
  const double temperature = in[2][0], top_p = in[2][2];
  const auto vocab = static_cast<size_t>(logits.cols());
  const Draws draws{static_cast<uint32_t>(in[1][0]), static_cast<uint32_t>(in[1][1]), stream};
  for (int64_t r = 0; r < logits.rows(); ++r) {
    std::vector<int64_t> order(vocab);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return logits(r, a) > logits(r, b); });
    double& drawn = out[0][static_cast<size_t>(r)];
    drawn = static_cast<double>(order[0]);
    if (temperature == 0) continue;
    if (in[2][1] >= 1) order.resize(std::min(vocab, static_cast<size_t>(in[2][1])));
    const double largest = logits(r, order[0]);
    const auto weight = [&](int64_t token) { return std::exp((logits(r, token) - largest) / temperature); };
    double all = 0, mass = 0;
    for (int64_t token : order) all += weight(token);
    size_t kept = 0;
    while (kept < order.size() && (kept == 0 || mass < top_p * all)) mass += weight(order[kept++]);
    order.resize(kept);
    std::sort(order.begin(), order.end());  // drawn in the order of the vocabulary
    double left = uniform(draws, static_cast<uint64_t>(r)) * mass;
    for (int64_t token : order) {
      drawn = static_cast<double>(token);
      left -= weight(token);
      if (left < 0) break;
    }
  }
}

Tensor sample(Tensor logits, Tensor rng, Tensor params, uint32_t stream) {
  return logits.graph->apply1(std::make_shared<Sample>(stream), {logits, rng, params});
}

OpEntry sample_entry() { return {"sample", {&sample_kernel}, cases}; }

}  // namespace tessera
