// attention: the definition in double precision, and the cases it is tested on.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "codelets/attention/attention_op.hpp"

namespace tessera {
namespace {

// The probabilities of one row and head, over all rows as keys; zero where the row does not attend.
struct RowAttention {
  std::vector<double> p, kept;  // after the softmax; and after dropout
  double lse = 0;
};

// Where a head's query, key and value begin in a row of qkv.
struct Columns {
  int64_t q, k, v;
};

Columns columns(const HeadLayout& layout, int64_t head) {
  const int64_t unit = head / layout.group() * layout.qkv_unit();
  return {unit + head % layout.group() * layout.head_dim, unit + layout.key_at(), unit + layout.value_at()};
}

RowAttention attend(const AttentionOp& op, const HostArray& qkv, const HostArray& starts,
                    const HostArray* rng, int64_t row, int64_t head) {
  const auto start_of = [&](int64_t r) { return static_cast<int64_t>(starts[static_cast<size_t>(r)]); };
  const int64_t start = start_of(row), head_dim = op.options.head_dim;
  const auto [q, k, v] = columns(op.layout(), head);
  const auto n = static_cast<size_t>(qkv.rows());
  RowAttention result{std::vector<double>(n), std::vector<double>(n)};
  if (start < 0) return result;
  const auto allowed = [&](int64_t s) { return start_of(s) == start && (s <= row || !op.options.causal); };
  double largest = -HUGE_VAL, sum = 0;
  for (int64_t s = 0; s < qkv.rows(); ++s) {
    if (!allowed(s)) continue;
    double& score = result.p[static_cast<size_t>(s)];
    for (int64_t d = 0; d < head_dim; ++d) score += qkv(row, q + d) * qkv(s, k + d);
    score /= std::sqrt(static_cast<double>(head_dim));
    largest = std::max(largest, score);
  }
  for (int64_t s = 0; s < qkv.rows(); ++s)
    if (allowed(s))
      sum += result.p[static_cast<size_t>(s)] = std::exp(result.p[static_cast<size_t>(s)] - largest);
  result.lse = largest + std::log(sum);
  for (size_t s = 0; s < n; ++s) result.kept[s] = result.p[s] /= sum;
  if (!rng) return result;
  const Draws draws{static_cast<uint32_t>((*rng)[0]), static_cast<uint32_t>((*rng)[1]), op.options.stream};
  const DropoutRule rule(op.options.dropout);
  for (int64_t s = 0; s < qkv.rows(); ++s) {
    if (!allowed(s)) continue;
    const uint64_t element = op.first_element(row, head) + static_cast<uint64_t>(s - start);
    result.kept[static_cast<size_t>(s)] *= rule.keeps(draws, element) ? static_cast<double>(rule.factor) : 0;
  }
  return result;
}

}  // namespace

void Attention::reference(HostIn in, HostOut out) const {
  const HostArray &qkv = in[0], &starts = in[1], *rng = options.dropout > 0 ? &in[2] : nullptr;
  for (int64_t r = 0; r < qkv.rows(); ++r)
    for (int64_t h = 0; h < options.heads; ++h) {
      const RowAttention a = attend(*this, qkv, starts, rng, r, h);
      const int64_t v = columns(layout(), h).v;
      out[1](r, h) = a.lse;
      for (int64_t s = 0; s < qkv.rows(); ++s)
        for (int64_t d = 0; d < options.head_dim; ++d)
          out[0](r, h * options.head_dim + d) += a.kept[static_cast<size_t>(s)] * qkv(s, v + d);
    }
}

// From qkv and d_o alone: o and lse are what the forward pass makes of them.
void AttentionBackward::reference(HostIn in, HostOut out) const {
  const HostArray &qkv = in[0], &starts = in[1], &d_o = in[4];
  const HostArray* rng = options.dropout > 0 ? &in.back() : nullptr;
  const int64_t n = qkv.rows(), head_dim = options.head_dim;
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  for (int64_t r = 0; r < n; ++r)
    for (int64_t h = 0; h < options.heads; ++h) {
      const RowAttention a = attend(*this, qkv, starts, rng, r, h);
      const auto [q, k, v] = columns(layout(), h);
      std::vector<double> d_p(static_cast<size_t>(n));
      double delta = 0;
      for (size_t s = 0; s < d_p.size(); ++s) {
        if (a.p[s] == 0) continue;
        for (int64_t d = 0; d < head_dim; ++d)
          d_p[s] += d_o(r, h * head_dim + d) * qkv(static_cast<int64_t>(s), v + d) * a.kept[s] / a.p[s];
        delta += d_p[s] * a.p[s];
      }
      for (int64_t s = 0; s < n; ++s) {
        const auto at = static_cast<size_t>(s);
        const double d_score = a.p[at] * (d_p[at] - delta) * scale;
        for (int64_t d = 0; d < head_dim; ++d) {
          out[0](r, q + d) += d_score * qkv(s, k + d);
          out[0](s, k + d) += d_score * qkv(r, q + d);
          out[0](s, v + d) += a.kept[at] * d_o(r, h * head_dim + d);
        }
      }
    }
}

namespace {

// Lengths of sequences laid one after the other; a negative one stands for that many padding rows.
std::vector<double> packed(const std::vector<int>& lengths) {
  std::vector<double> starts;
  for (int length : lengths)
    starts.insert(starts.end(), static_cast<size_t>(std::abs(length)),
                  length < 0 ? -1.0 : static_cast<double>(starts.size()));
  return starts;
}

std::vector<int> repeated(int length, int times) {
  return std::vector<int>(static_cast<size_t>(times), length);
}

struct CaseMaker {
  DType storage;
  AttentionWay way;
  std::vector<Case>& cases;

  static Case::Input rng_input() { return {{{2}, DType::i32}, 0, 1, {12345, 7}, false}; }

  std::string named(const std::string& name) const {
    return way == AttentionWay::gemm ? name + ", by gemm" : name;
  }

  void forward(const std::string& name, const AttentionOptions& options, const std::vector<int>& lengths,
               std::string tiling, bool gradient = true) {
    auto op = std::make_shared<Attention>(options, way);
    const std::vector<double> starts = packed(lengths);
    const Dim rows("rows", static_cast<int64_t>(starts.size()));
    Case made{
        .name = named(name),
        .op = op,
        .inputs = {{{{rows, op->layout().qkv_dim()}, storage}}, {{{rows}, DType::i32}, 0, 1, starts, false}},
        .tiling = std::move(tiling),
        .sum_length = options.seq,
        .check_gradient = gradient};
    if (options.dropout > 0) made.inputs.push_back(rng_input());
    cases.push_back(std::move(made));
  }

  // The same as a case of the backward op, on the o and lse that belong to its qkv.
  void backward(const std::string& name, const AttentionOptions& options, const std::vector<int>& lengths,
                std::string tiling) {
    auto op = std::make_shared<Attention>(options);
    const std::vector<double> starts = packed(lengths);
    const Dim rows("rows", static_cast<int64_t>(starts.size()));
    std::vector<HostArray> in, out;
    in.emplace_back(TensorType{{rows, op->layout().qkv_dim()}, storage});
    for (size_t i = 0; i < in[0].size(); ++i)  // multiples of 2^-6: the same in every storage type
      in[0][i] = std::round(128 * static_cast<double>(uniform({1, 2, 3}, i)) - 64) / 64;
    in.emplace_back(TensorType{{rows}, DType::i32});
    in[1].values = starts;
    in.emplace_back(TensorType{{2}, DType::i32});
    in[2].values = rng_input().values;
    std::vector<TensorType> types = {in[0].type, in[1].type};
    if (options.dropout > 0) types.push_back(in[2].type);
    for (const TensorType& type : op->infer(types)) out.emplace_back(type);
    op->reference(in, out);
    auto backward_op = std::make_shared<AttentionBackward>(options, way);
    Case made{.name = named(name),
              .op = std::move(backward_op),
              .inputs = {{in[0].type, -1, 1, in[0].values},
                         {in[1].type, 0, 1, starts, false},
                         {out[0].type, -1, 1, out[0].values},
                         {out[1].type, -1, 1, out[1].values},
                         {out[0].type}},
              .tiling = std::move(tiling),
              .sum_length = 2 * options.seq,
              .check_gradient = false};
    if (options.dropout > 0) made.inputs.push_back(rng_input());
    cases.push_back(std::move(made));
  }
};

void add_aligned(CaseMaker make) {
  make.forward("plain", {.heads = 2, .head_dim = 16, .seq = 8}, {8, 8}, "");
  make.forward("not causal", {.heads = 2, .head_dim = 16, .causal = false, .seq = 8}, {8, 8}, "");
  make.forward("seq 1", {.heads = 2, .head_dim = 16, .seq = 1}, repeated(1, 9), "rows=4x2,1");
  make.forward("grouped queries and head cuts", {.heads = 6, .kv_heads = 3, .head_dim = 20, .seq = 24},
               {24, 24, 24}, "rows=24x2|24 heads=2,1");
  make.forward("one key for all heads", {.heads = 4, .kv_heads = 1, .head_dim = 33, .seq = 17}, {17, 17},
               "rows=17x2");
  make.forward("windows in a tile", {.heads = 2, .head_dim = 32, .seq = 64}, {64, 64, 64}, "rows=192");
  make.forward("a window over tiles", {.heads = 2, .head_dim = 16, .seq = 96}, {96, 96},
               "rows=32x3|32x2,16x2 heads=1x2");
  make.forward("a window over tiles, not causal", {.heads = 2, .head_dim = 16, .causal = false, .seq = 96},
               {96, 96}, "rows=32x3|32x2,16x2 heads=1x2");
}

void add_packed(CaseMaker make) {
  make.forward("packed", {.heads = 2, .head_dim = 24, .seq = 40, .aligned = false}, {13, 1, 40, 7, 30, -5},
               "rows=96");
  make.forward("packed over tiles", {.heads = 2, .head_dim = 24, .seq = 50, .aligned = false},
               {13, 1, 50, 7, -3, 30, 2, -9}, "rows=20x2|20,7|20,28 heads=1x2");
  make.forward("packed over tiles, not causal",
               {.heads = 2, .kv_heads = 1, .head_dim = 24, .causal = false, .seq = 50, .aligned = false},
               {13, 1, 50, 7, -3, 30, 2, -9}, "rows=20x2|20,7|20,28");
  make.forward("padding in between",
               {.heads = 1, .head_dim = 20, .causal = false, .seq = 40, .aligned = false},
               {-9, 3, -14, 40, -1, 12, -30, 8}, "rows=50,30|37");
  make.forward("aligned with padding", {.heads = 2, .head_dim = 16, .seq = 16}, {10, -6, 16, 5, 4, -7},
               "rows=16x3");
  make.forward("only padding", {.heads = 1, .head_dim = 16, .seq = 4}, {-4}, "");
  make.forward("dropout", {.heads = 2, .head_dim = 16, .seq = 70, .dropout = 0.25f, .stream = 5}, {70},
               "heads=1x2");
  make.forward(
      "dropout over tiles",
      {.heads = 2, .kv_heads = 1, .head_dim = 16, .seq = 45, .aligned = false, .dropout = 0.1f, .stream = 9},
      {9, 45, 17, -2, 40}, "rows=30x2|30,23");
  make.forward("many keys", {.heads = 1, .head_dim = 128, .seq = 700}, {700}, "rows=350x2", false);
  make.forward("big", {.heads = 2, .head_dim = 64, .seq = 256}, {256, 256}, "rows=256x2 heads=1x2", false);
}

void add_backward(CaseMaker make) {
  make.backward("backward", {.heads = 2, .head_dim = 64, .seq = 128}, {128, 128}, "rows=128x2 heads=1x2");
  make.backward("backward over tiles",
                {.heads = 4, .kv_heads = 2, .head_dim = 40, .seq = 100, .aligned = false, .dropout = 0.2f},
                {70, 3, 100, -6, 21}, "rows=64x2|64,8 heads=1x2");
  make.backward("backward, not causal",
                {.heads = 2, .head_dim = 32, .causal = false, .seq = 100, .aligned = false},
                {70, 3, 100, -6, 21}, "rows=64x2|64,8");
  make.backward("backward, packed", {.heads = 2, .head_dim = 24, .seq = 40, .aligned = false},
                {13, 1, 40, 7, 30, -5}, "rows=96");
  make.backward("backward, many keys", {.heads = 1, .head_dim = 16, .seq = 600}, {600}, "rows=600");
}

}  // namespace

std::vector<Case> attention_cases(DType t) {
  std::vector<Case> cases;
  for (AttentionWay way : {AttentionWay::strips, AttentionWay::gemm}) {
    add_aligned({t, way, cases});
    add_packed({t, way, cases});
    add_backward({t, way, cases});
  }
  return cases;
}

}  // namespace tessera
