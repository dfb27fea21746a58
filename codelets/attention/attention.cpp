// attention: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/attention/attention.hpp"

#include <algorithm>
#include <cmath>

#include "codelets/attention/attention_op.hpp"
#include "codelets/matmul/gemm.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void attention_gpu(const TileArgs& args, DeviceQueue& queue);
void attention_backward_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

bool by_gemm(const TileArgs& args) {
  const AttentionWay way = args.attributes<AttentionOp>().way;
  return way == AttentionWay::best ? args[0].dtype == DType::bf16 && bf16_units() : way == AttentionWay::gemm;
}
void attention_cpu(const TileArgs& args) {
  by_gemm(args) ? attention_by_gemm(args) : attention_by_strips(args);
}
void attention_backward_cpu(const TileArgs& args) {
  by_gemm(args) ? attention_backward_by_gemm(args) : attention_backward_by_strips(args);
}

const Kernel attention_kernel{.name = "attention", .cpu = attention_cpu, .gpu = attention_gpu};
const Kernel attention_backward_kernel{
    .name = "attention_backward", .cpu = attention_backward_cpu, .gpu = attention_backward_gpu};

struct CutRange {
  int first, last;  // last is not included
};

// The row cuts that may hold keys of the sequences in row cut i, and queries that attend to keys in it.
CutRange window(const Cuts& rows, int i, const AttentionOptions& options, bool backward) {
  const int64_t begin = rows.begin(i), end = rows.end(i), seq = options.seq;
  const bool forward = backward || !options.causal;
  const int64_t low = options.aligned ? begin / seq * seq : std::max<int64_t>(0, begin - seq + 1);
  const int64_t high = !forward ? end : options.aligned ? (end + seq - 1) / seq * seq : end + seq - 1;
  return {rows.cut_of(low), rows.cut_of(std::min(high, rows.total()) - 1) + 1};
}

// Multiplications and additions of one product over the query-key pairs of `n_rows` rows.
double product_flops(const AttentionOp& op, int64_t n_rows, int64_t qkv_cols) {
  const double keys =
      op.options.causal ? (static_cast<double>(op.options.seq) + 1) / 2 : static_cast<double>(op.options.seq);
  const int64_t heads = qkv_cols / op.layout().qkv_unit() * op.layout().group();
  return 2 * static_cast<double>(n_rows * heads * op.options.head_dim) * keys;
}

void check_rng(std::string_view op, const TensorType& rng) {
  if (rng.dtype != DType::i32 || rng.shape.size() != 2)
    throw error("{}: rng is {} {}, not i32 [2] = {{seed, step}}", op, name_of(rng.dtype),
                to_string(rng.shape));
}

// The last input, with dropout.
TileGrid rng_of(Lowering& to) {
  const int last = to.n_inputs() - 1;
  return to.in(last, Cuts(to.in_type(last).shape.rows()), Cuts(1));
}

}  // namespace

std::vector<TensorType> Attention::infer(std::span<const TensorType> in) const {
  const TensorType &qkv = in[0], &starts = in[1];
  layout().check(name(), qkv);
  if (starts.dtype != DType::i32 || starts.shape.size() != qkv.shape.rows())
    throw error("attention: starts is {} {}, not i32 [{}]", name_of(starts.dtype), to_string(starts.shape),
                qkv.shape.rows());
  if (options.seq < 1) throw error("attention: seq = {} is not the length of a sequence", options.seq);
  if (!(options.dropout >= 0 && options.dropout < 1))
    throw error("attention: dropout = {} is not in [0, 1)", options.dropout);
  if (in.size() != (options.dropout > 0 ? 3u : 2u))
    throw error("attention: dropout = {} {} an rng tensor", options.dropout,
                in.size() == 2 ? "needs" : "has no use for");
  if (options.dropout > 0) check_rng(name(), in[2]);
  const Dim& rows = qkv.shape[0];
  return {{{rows, layout().out_dim()}, qkv.dtype}, {{rows, layout().per_head_dim()}, DType::f32}};
}

std::vector<Tensor> Attention::grad(const GradArgs& args) const {
  if (!args.d_out[0] || args.d_out[1])
    throw error("attention: its log-sum-exp is for its own gradient, not for a loss");
  std::vector<Tensor> in = {args.in[0], args.in[1], args.out[0], args.out[1], args.d_out[0]};
  if (options.dropout > 0) in.push_back(args.in[2]);
  return {args.in[0].graph->apply1(std::make_shared<AttentionBackward>(options, way), std::move(in)), {}, {}};
}

void Attention::lower(Lowering& to) const {
  const TileGrid &o = to.out(0), &lse = to.out(1);
  const TileGrid qkv = to.in(0, o.rows, rescale(o.cols, layout().out_unit(), layout().qkv_unit()));
  const TileGrid starts = to.in(1, o.rows, Cuts(1));
  const TileGrid rng = options.dropout > 0 ? rng_of(to) : TileGrid();
  for (int i = 0; i < o.rows.count(); ++i)
    for (int j = 0; j < o.cols.count(); ++j) {
      const CutRange keys = window(o.rows, i, options, false);
      const AttentionWindow at{keys.last - keys.first, i - keys.first, i - keys.first, i - keys.first + 1};
      std::vector<Access> accesses;
      for (int t = keys.first; t < keys.last; ++t) accesses.push_back(read(qkv(t, j)));
      for (int t = i; t < keys.last; ++t) accesses.push_back(read(starts(t)));
      if (options.dropout > 0) accesses.push_back(read(rng(0)));
      accesses.push_back(write(o(i, j)));
      accesses.push_back(write(lse(i, j)));
      to.task(attention_kernel, std::move(accesses),
              {.flops = 2 * product_flops(*this, o.rows.size(i), qkv.cols.size(j)),
               .index = {i, j},
               .params = at.params()});
    }
}

std::vector<TensorType> AttentionBackward::infer(std::span<const TensorType> in) const {
  layout().check(name(), in[0]);
  return {in[0]};
}

void AttentionBackward::lower(Lowering& to) const {
  const TileGrid& d_qkv = to.out(0);
  const Cuts &rows = d_qkv.rows, &cols = d_qkv.cols;
  const Cuts out_cols = rescale(cols, layout().qkv_unit(), layout().out_unit());
  const Cuts head_cols = rescale(cols, layout().qkv_unit(), layout().group());
  const TileGrid qkv = to.in(0, rows, cols), starts = to.in(1, rows, Cuts(1));
  const std::vector<TileGrid> of_queries = {to.in(2, rows, out_cols), to.in(3, rows, head_cols),
                                            to.in(4, rows, out_cols)};
  const TileGrid rng = options.dropout > 0 ? rng_of(to) : TileGrid();
  for (int i = 0; i < rows.count(); ++i)
    for (int j = 0; j < cols.count(); ++j) {
      const CutRange all = window(rows, i, options, true);
      const int q_first = options.causal ? i : all.first;
      const AttentionWindow at{all.last - all.first, i - all.first, q_first - all.first,
                               all.last - all.first};
      std::vector<Access> accesses;
      for (int t = all.first; t < all.last; ++t) accesses.push_back(read(qkv(t, j)));
      for (int t = q_first; t < all.last; ++t) accesses.push_back(read(starts(t)));
      for (const TileGrid& grid : of_queries)
        for (int t = q_first; t < all.last; ++t) accesses.push_back(read(grid(t, j)));
      if (options.dropout > 0) accesses.push_back(read(rng(0)));
      accesses.push_back(write(d_qkv(i, j)));
      const double products = all.last - all.first > 1 ? 7 : 5;
      to.task(attention_backward_kernel, std::move(accesses),
              {.flops = products * product_flops(*this, rows.size(i), cols.size(j)),
               .index = {i, j},
               .params = at.params()});
    }
}

Tensor attention(Tensor qkv, Tensor starts, Tensor rng, const AttentionOptions& options) {
  std::vector<Tensor> in = {qkv, starts};
  if (options.dropout > 0) in.push_back(rng);
  return qkv.graph->apply(std::make_shared<Attention>(options), std::move(in))[0];
}

OpEntry attention_entry() {
  return {"attention", {&attention_kernel, &attention_backward_kernel}, attention_cases};
}

}  // namespace tessera
