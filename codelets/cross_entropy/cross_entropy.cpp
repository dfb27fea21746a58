// cross_entropy: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
//
//   logits(i,j) ─▶ stats(i,j) ─▶ merged over j ─▶ finish(i) ─▶ lse(i)           ─▶ backward(i,j)
//   labels ─▶ count ──────────────────────────────────┐  └─▶ loss(i) ─▶ Σ over i ─▶ mean ─▶ loss
//                                                     └──────────────────────────────┘
// A row tile's backward waits for its own lse and for the count, not for the forward of other row tiles.
#include "codelets/cross_entropy/cross_entropy.hpp"

#include <cmath>

#include "codelets/cross_entropy/row_stats.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void cross_entropy_stats_cpu(const TileArgs& args);
void cross_entropy_backward_cpu(const TileArgs& args);
void cross_entropy_merge_cpu(const TileArgs& args);
void cross_entropy_finish_cpu(const TileArgs& args);
void cross_entropy_count_cpu(const TileArgs& args);
void cross_entropy_total_cpu(const TileArgs& args);
void cross_entropy_mean_cpu(const TileArgs& args);
void cross_entropy_stats_gpu(const TileArgs& args, DeviceQueue& queue);
void cross_entropy_backward_gpu(const TileArgs& args, DeviceQueue& queue);
void cross_entropy_merge_gpu(const TileArgs& args, DeviceQueue& queue);
void cross_entropy_finish_gpu(const TileArgs& args, DeviceQueue& queue);
void cross_entropy_count_gpu(const TileArgs& args, DeviceQueue& queue);
void cross_entropy_total_gpu(const TileArgs& args, DeviceQueue& queue);
void cross_entropy_mean_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel stats_kernel{
    .name = "cross_entropy", .cpu = cross_entropy_stats_cpu, .gpu = cross_entropy_stats_gpu, .light = true};
const Kernel backward_kernel{.name = "cross_entropy_backward",
                             .cpu = cross_entropy_backward_cpu,
                             .gpu = cross_entropy_backward_gpu,
                             .light = true};
const Kernel merge_kernel{.name = "cross_entropy_merge",
                          .cpu = cross_entropy_merge_cpu,
                          .gpu = cross_entropy_merge_gpu,
                          .light = true};
const Kernel finish_kernel{.name = "cross_entropy_finish",
                           .cpu = cross_entropy_finish_cpu,
                           .gpu = cross_entropy_finish_gpu,
                           .light = true};
const Kernel count_kernel{.name = "cross_entropy_count",
                          .cpu = cross_entropy_count_cpu,
                          .gpu = cross_entropy_count_gpu,
                          .light = true};
const Kernel total_kernel{.name = "cross_entropy_total",
                          .cpu = cross_entropy_total_cpu,
                          .gpu = cross_entropy_total_gpu,
                          .light = true};
const Kernel mean_kernel{.name = "cross_entropy_mean",
                         .cpu = cross_entropy_mean_cpu,
                         .gpu = cross_entropy_mean_gpu,
                         .light = true};

constexpr double flops_per_logit = 8;  // an exponential is a polynomial of degree five

void check(std::string_view op, std::span<const TensorType> in) {
  const TensorType &logits = in[0], &labels = in[1];
  if (logits.shape.rank() != 2 || !is_float(logits.dtype))
    throw error("{}: logits are {} {}, not [rows, vocab] of floats", op, name_of(logits.dtype),
                to_string(logits.shape));
  if (labels.shape.rank() != 1 || labels.shape.rows() != logits.shape.rows() || labels.dtype != DType::i32)
    throw error("{}: labels are {} {}, not i32 [{}], one for every row of logits {}", op,
                name_of(labels.dtype), to_string(labels.shape), logits.shape.rows(), to_string(logits.shape));
}

// The parts of one row tile, one per vocabulary cut, combined as sums are (in order within groups, a binary
// tree over groups) up to the last step, which is left to the reader: what remains is to be merged in the
// order given.
std::vector<TileId> merge_groups(Lowering& to, const std::vector<TileId>& parts, const Cuts& over, int row) {
  if (over.group_count() == 1) return parts;
  auto merged = [&](std::vector<Access> accesses, int index) {
    const Tile first = to.tile(accesses[0].tile);
    const TileId result = to.temporary(DType::f32, first.rows, first.cols, first.row0);
    accesses.push_back(write(result));
    to.task(merge_kernel, std::move(accesses), {.index = {row, index}});
    return result;
  };
  std::vector<TileId> sums;
  for (int group = 0; group < over.group_count(); ++group) {
    std::vector<Access> members;
    for (int cut = over.group_begin(group); cut < over.group_end(group); ++cut)
      members.push_back(read(parts[static_cast<size_t>(cut)]));
    sums.push_back(members.size() == 1 ? members[0].tile : merged(std::move(members), group));
  }
  size_t stride = 1;
  for (; 2 * stride < sums.size(); stride *= 2)
    for (size_t at = 0; at + stride < sums.size(); at += 2 * stride)
      sums[at] = merged({read(sums[at]), read(sums[at + stride])}, static_cast<int>(at));
  return {sums[0], sums[stride]};
}

// One task per group of row cuts reads all `tiles` of the group; groups meet in the tree of sums.
void sum_by_group(Lowering& to, const Kernel& kernel, const TileGrid& tiles, TileId into, int64_t vocab) {
  to.reduce(into, tiles.rows.group_cuts(), [&](int group, TileId sum, bool) {
    std::vector<Access> accesses;
    for (int cut = tiles.rows.group_begin(group); cut < tiles.rows.group_end(group); ++cut)
      accesses.push_back(read(tiles(cut)));
    accesses.push_back(write(sum));
    to.task(kernel, std::move(accesses), {.index = {group, 0}, .params = {vocab}});
  });
}

struct CrossEntropy final : CrossEntropyOp {
  using CrossEntropyOp::CrossEntropyOp;
  std::string_view name() const override { return "cross_entropy"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check(name(), in);
    if (!(options.label_smoothing >= 0 && options.label_smoothing < 1))
      throw error("cross_entropy: label_smoothing = {} is outside [0, 1)", options.label_smoothing);
    return {{Shape{}, DType::f32}, {Shape{in[0].shape[0]}, DType::f32}, {Shape{}, DType::f32}};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {cross_entropy_backward({.loss = args.out[0], .lse = args.out[1], .count = args.out[2]},
                                   args.in[0], args.in[1], args.d_out[0], options, args.d_out[1]),
            {}};
  }

  void lower(Lowering& to) const override {
    const TileGrid& x = to.in(0);
    const int64_t vocab = x.cols.total();
    const TileGrid labels = to.in(1, x.rows, Cuts(1));
    sum_by_group(to, count_kernel, labels, to.out(2)(0), vocab);

    TileGrid losses{x.rows, Cuts(1), {}};
    for (int i = 0; i < x.rows.count(); ++i) {
      std::vector<TileId> parts;
      for (int j = 0; j < x.cols.count(); ++j) {
        parts.push_back(to.temporary(DType::f32, x.rows.size(i), row_stats_width, x.rows.begin(i)));
        to.task(stats_kernel, {read(x(i, j)), read(labels(i)), write(parts.back())},
                {.flops = flops_per_logit * static_cast<double>(x.rows.size(i) * x.cols.size(j)),
                 .index = {i, j}});
      }
      losses.tiles.push_back(to.temporary(DType::f32, 1, 1));
      std::vector<Access> accesses{read(labels(i)), write(to.out(1)(i)), write(losses(i))};
      for (TileId part : merge_groups(to, parts, x.cols, i)) accesses.push_back(read(part));
      to.task(finish_kernel, std::move(accesses), {.index = {i, 0}, .params = {vocab}});
    }
    const TileId total = to.temporary(DType::f32, 1, 1);
    sum_by_group(to, total_kernel, losses, total, vocab);
    to.task(mean_kernel, {read(total), read(to.out(2)(0)), write(to.out(0)(0))});
  }

  void reference(HostIn in, HostOut out) const override {
    const double vocab = static_cast<double>(in[0].cols());
    double total = 0;
    for (int64_t r = 0; r < in[0].rows(); ++r) {
      double sum = 0, spread = 0, max = in[0](r, 0);
      for (int64_t v = 0; v < in[0].cols(); ++v) max = std::max(max, in[0](r, v));
      for (int64_t v = 0; v < in[0].cols(); ++v) {
        sum += std::exp(in[0](r, v) - max);
        spread += in[0](r, v) / vocab;
      }
      const double lse = max + std::log(sum);
      out[1](r, 0) = lse;
      const auto label = static_cast<int64_t>(in[1](r, 0));
      if (label == options.ignore_index) continue;
      out[2][0] += 1;
      total += lse - (1 - options.label_smoothing) * in[0](r, label) - options.label_smoothing * spread;
    }
    out[0][0] = out[2][0] > 0 ? total / out[2][0] : 0;
  }
};

// Inputs: logits, labels, lse, count, then d_loss and d_lse where they are given.
struct CrossEntropyBackward final : CrossEntropyOp {
  CrossEntropyBackward(CrossEntropyOptions o, bool loss, bool lse) : CrossEntropyOp(o) {
    from_loss = loss;
    from_lse = lse;
  }
  std::string_view name() const override { return "cross_entropy_backward"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check(name(), in);
    const TensorType lse{Shape{in[0].shape.rows()}, DType::f32}, scalar{Shape{}, DType::f32};
    std::vector<TensorType> wanted{lse, scalar};
    if (from_loss) wanted.push_back(scalar);
    if (from_lse) wanted.push_back(lse);
    for (size_t k = 0; k < wanted.size(); ++k)
      if (const TensorType& given = in[k + 2];
          given.dtype != DType::f32 || given.shape.size() != wanted[k].shape.size())
        throw error("cross_entropy_backward: input {} is {} {}, not f32 {}", k + 2, name_of(given.dtype),
                    to_string(given.shape), to_string(wanted[k].shape));
    return {in[0]};
  }

  void lower(Lowering& to) const override {
    const TileGrid& y = to.out(0);
    const TileGrid x = to.in(0, y.rows, y.cols);
    std::vector<TileGrid> rest;
    for (int k = 1; k < to.n_inputs(); ++k)
      rest.push_back(to.in_type(k).shape.rank() == 1 ? to.in(k, y.rows, Cuts(1))
                                                     : to.in(k, Cuts(1), Cuts(1)));
    for (int i = 0; i < y.rows.count(); ++i)
      for (int j = 0; j < y.cols.count(); ++j) {
        std::vector<Access> accesses{write(y(i, j)), read(x(i, j))};
        for (const TileGrid& grid : rest) accesses.push_back(read(grid(grid.rows.count() > 1 ? i : 0)));
        to.task(backward_kernel, std::move(accesses),
                {.flops = flops_per_logit * static_cast<double>(y.rows.size(i) * y.cols.size(j)),
                 .index = {i, j},
                 .params = {y.cols.total()}});
      }
  }

  void reference(HostIn in, HostOut out) const override {
    const HostArray &logits = in[0], &labels = in[1], &lse = in[2];
    const double d_loss = from_loss && in[3][0] > 0 ? in[4][0] / in[3][0] : 0;
    for (int64_t r = 0; r < logits.rows(); ++r) {
      const auto label = static_cast<int64_t>(labels(r, 0));
      const double scale = label == options.ignore_index ? 0 : d_loss;
      const double d_lse = from_lse ? in[from_loss ? 5 : 4](r, 0) : 0;
      for (int64_t v = 0; v < logits.cols(); ++v) {
        const double target = (v == label ? 1 - options.label_smoothing : 0) +
                              options.label_smoothing / static_cast<double>(logits.cols());
        out[0](r, v) = std::exp(logits(r, v) - lse(r, 0)) * (scale + d_lse) - target * scale;
      }
    }
  }
};

Case::Input labels_of(int64_t rows, int64_t vocab, int every_ignored) {
  Case::Input input{.type = {{{"rows", rows}}, DType::i32}, .differentiate = false};
  for (int64_t r = 0; r < rows; ++r)
    input.values.push_back(every_ignored && r % every_ignored == 0 ? -100.
                                                                   : static_cast<double>(r * 7919 % vocab));
  return input;
}

Case forward_case(const std::string& name, int64_t rows, int64_t vocab, DType t, const std::string& tiling,
                  int every_ignored = 0, double smoothing = 0) {
  return {.name = name,
          .op = std::make_shared<CrossEntropy>(CrossEntropyOptions{.label_smoothing = smoothing}),
          .inputs = {{.type = {{{"rows", rows}, {"vocab", vocab}}, t}, .low = -4, .high = 4},
                     labels_of(rows, vocab, every_ignored)},
          .tiling = tiling,
          .sum_length = std::max(rows, vocab)};
}

Case backward_case(const std::string& name, int64_t rows, int64_t vocab, DType t, const std::string& tiling,
                   const CrossEntropyBackward& op, int every_ignored = 0) {
  Case made{.name = name,
            .op = std::make_shared<CrossEntropyBackward>(op),
            .inputs = {{.type = {{{"rows", rows}, {"vocab", vocab}}, t}, .low = -4, .high = 4},
                       labels_of(rows, vocab, every_ignored),
                       {.type = {{{"rows", rows}}, DType::f32}, .low = 4, .high = 6},
                       {.type = {{}, DType::f32}, .low = 1, .high = 4}},
            .tiling = tiling,
            .check_gradient = false};
  if (op.from_loss) made.inputs.push_back({.type = {{}, DType::f32}, .low = 1, .high = 2});
  if (op.from_lse) made.inputs.push_back({.type = {{{"rows", rows}}, DType::f32}});
  return made;
}

std::vector<Case> cases(DType t) {
  using Backward = CrossEntropyBackward;
  const std::string groups = "rows=4x2|8|4x2|9 vocab=16x2|32|16,8x2|3", chain = "rows=20,13 vocab=64,50x2";
  return {
      forward_case("plain", 4, 8, t, ""),
      forward_case("groups and ragged cuts", 33, 99, t, groups, 5),
      forward_case("chained cuts", 33, 164, t, chain),
      forward_case("smoothed", 33, 99, t, groups, 5, 0.1),
      forward_case("a vocabulary of several chunks", 3, 5003, t, "vocab=2500|2503"),
      forward_case("one class", 5, 1, t, ""),
      forward_case("one row", 1, 37, t, "vocab=30,7"),
      forward_case("all ignored", 6, 11, t, "rows=4,2", 1),
      backward_case("backward", 33, 99, t, groups, Backward({}, true, false), 4),
      backward_case("smoothed backward", 33, 164, t, chain, Backward({.label_smoothing = 0.2}, true, false)),
      backward_case("backward of lse", 33, 164, t, chain, Backward({}, false, true), 3),
      backward_case("backward of both", 7, 5, t, "rows=4,3", Backward({.label_smoothing = 0.2}, true, true),
                    3),
  };
}

}  // namespace

CrossEntropyResult cross_entropy(Tensor logits, Tensor labels, CrossEntropyOptions options) {
  const auto out = logits.graph->apply(std::make_shared<CrossEntropy>(options), {logits, labels});
  return {.loss = out[0], .lse = out[1], .count = out[2]};
}

Tensor cross_entropy_backward(const CrossEntropyResult& forward, Tensor logits, Tensor labels, Tensor d_loss,
                              CrossEntropyOptions options, Tensor d_lse) {
  std::vector<Tensor> in{logits, labels, forward.lse, forward.count};
  if (d_loss) in.push_back(d_loss);
  if (d_lse) in.push_back(d_lse);
  auto op =
      std::make_shared<CrossEntropyBackward>(options, static_cast<bool>(d_loss), static_cast<bool>(d_lse));
  return logits.graph->apply1(std::move(op), std::move(in));
}

OpEntry cross_entropy_entry() {
  return {"cross_entropy",
          {&stats_kernel, &merge_kernel, &finish_kernel, &count_kernel, &total_kernel, &mean_kernel,
           &backward_kernel},
          cases};
}

}  // namespace tessera
