// embedding: what it means, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/embedding/embedding.hpp"

#include "codelets/cast/cast.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void embedding_cpu(const TileArgs& args);
void embedding_backward_cpu(const TileArgs& args);
void embedding_gpu(const TileArgs& args, DeviceQueue& queue);
void embedding_backward_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel gather_kernel{.name = "embedding", .cpu = embedding_cpu, .gpu = embedding_gpu, .light = true};
const Kernel scatter_kernel{.name = "embedding_backward",
                            .cpu = embedding_backward_cpu,
                            .gpu = embedding_backward_gpu,
                            .light = true};

void check_ids(std::string_view op, const TensorType& ids) {
  if (ids.shape.rank() != 1 || ids.dtype != DType::i32)
    throw error("{}: ids are {} {}, not i32 [rows]", op, name_of(ids.dtype), to_string(ids.shape));
}

struct Embedding final : Op {
  std::string_view name() const override { return "embedding"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (in[0].shape.rank() != 2 || !is_float(in[0].dtype))
      throw error("embedding: the table is {} {}, not [n, width] of floats", name_of(in[0].dtype),
                  to_string(in[0].shape));
    check_ids(name(), in[1]);
    return {{Shape{in[1].shape[0], in[0].shape[1]}, in[0].dtype}};
  }

  // Gradients of parameters are f32, those of activations have the activations' dtype.
  std::vector<Tensor> grad(const GradArgs& args) const override {
    const TensorInfo& table = args.in[0].graph->info(args.in[0]);
    const DType dtype = table.kind == TensorInfo::Kind::variable ? DType::f32 : table.type.dtype;
    const Tensor d_table = embedding_backward(args.d_out[0], args.in[1], args.in[0].type());
    return {dtype == DType::f32 ? d_table : cast(d_table, dtype), {}};
  }

  // Every row comes from one table tile, so the parts of groups are exact whatever their order.
  void lower(Lowering& to) const override {
    const TileGrid& y = to.out(0);
    const TileGrid ids = to.in(1, y.rows, Cuts(1));
    const TileGrid table = to.in(0, to.in(0).rows, y.cols);
    for (int i = 0; i < y.rows.count(); ++i)
      for (int j = 0; j < y.cols.count(); ++j)
        to.reduce(y(i, j), table.rows.group_cuts(), [&](int group, TileId sum, bool) {
          std::vector<Access> accesses{read(ids(i)), write(sum)};
          for (int v = table.rows.group_begin(group); v < table.rows.group_end(group); ++v)
            accesses.push_back(read(table(v, j)));
          to.task(gather_kernel, std::move(accesses), {.index = {i, j}, .params = {table.rows.total()}});
        });
  }

  void reference(HostIn in, HostOut out) const override {
    for (int64_t r = 0; r < out[0].rows(); ++r)
      for (int64_t c = 0; c < out[0].cols(); ++c)
        out[0](r, c) = in[1](r, 0) < 0 ? 0 : in[0](static_cast<int64_t>(in[1](r, 0)), c);
  }
};

// Inputs: d_out, ids, and the base where there is one.
struct EmbeddingBackward final : Op {
  TensorType table;
  bool has_base;

  EmbeddingBackward(const TensorType& type, bool base) : table{type.shape, DType::f32}, has_base(base) {}
  std::string_view name() const override { return "embedding_backward"; }
  int alias(int) const override { return has_base ? 2 : -1; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    check_ids(name(), in[1]);
    const Shape& d_out = in[0].shape;
    if (d_out.rank() != 2 || d_out.rows() != in[1].shape.rows() || d_out.cols() != table.shape.cols())
      throw error("embedding_backward: d_out is {}, not [{}, {}] as ids {} and the table {} say",
                  to_string(d_out), in[1].shape.rows(), table.shape.cols(), to_string(in[1].shape),
                  to_string(table.shape));
    if (has_base && in[2] != table)
      throw error("embedding_backward: the base is {} {}, not f32 {}", name_of(in[2].dtype),
                  to_string(in[2].shape), to_string(table.shape));
    return {table};
  }

  // add(base, embedding_backward(…)) adds in place: a tied head's gradient, say.
  std::shared_ptr<const Op> fold(const Op& next, int position,
                                 std::span<const TensorType> in) const override {
    if (has_base || next.name() != "add" || in.size() != 2 || in[static_cast<size_t>(1 - position)] != table)
      return nullptr;
    return std::make_shared<EmbeddingBackward>(table, true);
  }

  void lower(Lowering& to) const override {
    const TileGrid& y = to.out(0);
    const TileGrid d = to.in(0, to.in(0).rows, y.cols);
    const TileGrid ids = to.in(1, d.rows, Cuts(1));
    for (int v = 0; v < y.rows.count(); ++v)
      for (int j = 0; j < y.cols.count(); ++j) {
        auto scatter = [&](int begin, int end, TileId sum, bool first) {
          const bool overwrite = first && !(has_base && sum == y(v, j));
          std::vector<Access> accesses{overwrite ? write(sum) : update(sum)};
          for (int i = begin; i < end; ++i) {
            accesses.push_back(read(ids(i)));
            accesses.push_back(read(d(i, j)));
          }
          to.task(scatter_kernel, std::move(accesses), {.index = {v, j}, .params = {overwrite}});
        };
        // A table of more rows than are given to it: the rows go to the table's tile, since partial sums as
        // large as the table, nearly all zeros, would cost more than everything else here.
        if (d.rows.total() <= y.rows.total()) {
          scatter(0, d.rows.count(), y(v, j), true);
        } else {
          to.reduce(y(v, j), d.rows, [&](int i, TileId sum, bool first) { scatter(i, i + 1, sum, first); });
        }
      }
  }

  void reference(HostIn in, HostOut out) const override {
    if (has_base) out[0].values = in[2].values;
    for (int64_t r = 0; r < in[0].rows(); ++r) {
      const auto id = static_cast<int64_t>(in[1](r, 0));
      for (int64_t c = 0; c < in[0].cols() && id >= 0; ++c) out[0](id, c) += in[0](r, c);
    }
  }
};

Case::Input ids_of(int64_t rows, int64_t n, bool padded) {
  Case::Input input{.type = {{{"rows", rows}}, DType::i32}, .differentiate = false};
  for (int64_t r = 0; r < rows; ++r)
    input.values.push_back(padded && r % 5 == 3 ? -1. : static_cast<double>(r * r * 31 % n));
  return input;
}

Case forward_case(const std::string& name, Shape table, int64_t rows, bool padded, DType t,
                  const std::string& tiling) {
  return {.name = name,
          .op = std::make_shared<Embedding>(),
          .inputs = {{{table, t}}, ids_of(rows, table.rows(), padded)},
          .tiling = tiling,
          .sum_length = rows};
}

Case backward_case(const std::string& name, Shape table, int64_t rows, bool base, DType t,
                   const std::string& tiling) {
  Case made{.name = name,
            .op = std::make_shared<EmbeddingBackward>(TensorType{table, t}, base),
            .inputs = {{{Shape{{"rows", rows}, table[1]}, t}}, ids_of(rows, table.rows(), true)},
            .tiling = tiling,
            .sum_length = rows,
            .check_gradient = false};
  if (base) made.inputs.push_back({{table, DType::f32}});
  return made;
}

std::vector<Case> cases(DType t) {
  const Shape small{{"vocab", 13}, {"width", 19}}, large{{"vocab", 70}, {"width", 19}},
      column{{"vocab", 9}, 1};
  const std::string rows = "rows=4x2|4x2|8|6,3", cuts = rows + " width=16,3";
  return {
      forward_case("plain", {5, 8}, 7, false, t, ""),
      forward_case("padded, table in groups", large, 33, true, t, cuts + " vocab=16x2|16|20,2"),
      forward_case("table in one chain", large, 33, true, t, cuts + " vocab=30,30,10"),
      forward_case("one column", column, 33, true, t, rows),
      forward_case("one id", {1, 40}, 1, false, t, ""),
      backward_case("few rows, many entries", large, 33, false, t, cuts + " vocab=16x2|16|20,2"),
      backward_case("many rows, few entries", small, 33, false, t, cuts + " vocab=8,5"),
      backward_case("few rows onto a base", large, 33, true, t, cuts + " vocab=16x2|16|20,2"),
      backward_case("many rows onto a base", small, 33, true, t, cuts + " vocab=8,5"),
      backward_case("one column backward", column, 33, false, t, rows),
  };
}

}  // namespace

Tensor embedding(Tensor table, Tensor ids) {
  return table.graph->apply1(std::make_shared<Embedding>(), {table, ids});
}

Tensor embedding_backward(Tensor d_out, Tensor ids, const TensorType& table, Tensor base) {
  std::vector<Tensor> in{d_out, ids};
  if (base) in.push_back(base);
  return d_out.graph->apply1(std::make_shared<EmbeddingBackward>(table, static_cast<bool>(base)),
                             std::move(in));
}

OpEntry embedding_entry() { return {"embedding", {&gather_kernel, &scatter_kernel}, cases}; }

}  // namespace tessera
