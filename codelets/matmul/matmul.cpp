// matmul: what it means, what folds into it, and its tiles.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/matmul/matmul.hpp"

#include <cmath>

#include "codelets/matmul/packed_layout.hpp"
#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void matmul_cpu(const TileArgs& args);
void pack_cpu(const TileArgs& args);
void matmul_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

const Kernel matmul_kernel{.name = "matmul", .cpu = matmul_cpu, .gpu = matmul_gpu};
const Kernel pack_kernel{.name = "pack", .cpu = pack_cpu},
    packed_kernel{.name = "matmul_packed", .cpu = matmul_cpu};

enum Operands : uint8_t { a_transposed = 1, b_transposed = 2, b_packed = 4 };

// The right factor in the library's layout where that pays: laid out once, instead of in the product of every
// row of tiles. Nothing where the library has no such layout.
std::optional<TileGrid> packed(Lowering& to, const TileGrid& right, bool transposed, int uses) {
  constexpr int least_uses = 4;
  if (!to.pack() || uses < least_uses) return std::nullopt;
  TileGrid result{right.rows, right.cols, {}};
  for (int i = 0; i < right.rows.count(); ++i)
    for (int j = 0; j < right.cols.count(); ++j) {
      const Tile tile = to.tile(right(i, j));
      const int64_t size = packed_size({.n = transposed ? tile.rows : tile.cols,
                                        .k = transposed ? tile.cols : tile.rows,
                                        .a = to.in_type(0).dtype,
                                        .b = tile.dtype,
                                        .c = to.out_type(0).dtype});
      if (size == 0) return std::nullopt;
      result.tiles.push_back(to.temporary(tile.dtype, 1, size));
    }
  for (int i = 0; i < right.rows.count(); ++i)
    for (int j = 0; j < right.cols.count(); ++j)
      to.task(pack_kernel, {read(right(i, j)), write(result(i, j))},
              {.index = {i, j}, .params = {transposed}});
  return result;
}

struct Matmul final : Op {
  bool transpose_a, transpose_b;
  std::optional<DType> out;
  bool bias = false, residual = false;  // further inputs, in this order

  explicit Matmul(const MatmulOptions& o)
      : transpose_a(o.transpose_a), transpose_b(o.transpose_b), out(o.out) {}
  std::string_view name() const override { return "matmul"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    const Shape &a = in[0].shape, &b = in[1].shape;
    if (a.rank() != 2 || b.rank() != 2 || a[transpose_a ? 0 : 1].size != b[transpose_b ? 1 : 0].size)
      throw error("matmul: {}{} · {}{} do not fit", to_string(a), transpose_a ? "ᵀ" : "", to_string(b),
                  transpose_b ? "ᵀ" : "");
    return {{Shape{a[transpose_a ? 1 : 0], b[transpose_b ? 0 : 1]}, out.value_or(in[0].dtype)}};
  }

  std::vector<Tensor> grad(const GradArgs& args) const override {
    const Tensor a = args.in[0], b = args.in[1], d = args.d_out[0];
    auto type_for = [](Tensor t) {
      return t.graph->info(t).kind == TensorInfo::Kind::variable ? DType::f32 : t.dtype();
    };
    const DType for_a = type_for(a), for_b = type_for(b);
    return {transpose_a ? matmul(b, d, {.transpose_a = transpose_b, .transpose_b = true, .out = for_a})
                        : matmul(d, b, {.transpose_b = !transpose_b, .out = for_a}),
            transpose_b ? matmul(d, a, {.transpose_a = true, .transpose_b = transpose_a, .out = for_b})
                        : matmul(a, d, {.transpose_a = !transpose_a, .out = for_b})};
  }

  // A following bias or a sum with something of the same shape; the bias must come before the residual.
  std::shared_ptr<const Op> fold(const Op& next, int position,
                                 std::span<const TensorType> inputs) const override {
    if (next.name() != "add" || residual) return nullptr;
    const TensorType& other = inputs[static_cast<size_t>(1 - position)];
    const bool row = other.shape.rank() == 1;
    if (row && (position != 0 || bias || other.dtype != DType::f32)) return nullptr;
    if (!row && other.dtype != inputs[static_cast<size_t>(position)].dtype) return nullptr;
    auto folded = std::make_shared<Matmul>(*this);
    (row ? folded->bias : folded->residual) = true;
    return folded;
  }

  const TileLayout* layout(int input, std::span<const TensorType> in, int64_t tile_rows,
                           int64_t tile_cols) const override {
    if (input != 1 || in[0].dtype != in[1].dtype) return nullptr;
    return packed_layout(in[1].dtype, tile_rows, tile_cols, transpose_b);
  }

  void lower(Lowering& to) const override {
    const TileGrid& y = to.out(0);
    const TileGrid& a = to.in(0);
    const Cuts& over = transpose_a ? a.rows : a.cols;
    const TileGrid left = to.in(0, transpose_a ? over : y.rows, transpose_a ? y.rows : over);
    const TileGrid plain = to.in(1, transpose_b ? y.cols : over, transpose_b ? over : y.cols);
    const std::optional<TileGrid> laid_out =
        to.layout(1) ? plain : packed(to, plain, transpose_b, y.rows.count());
    const TileGrid& right = laid_out ? *laid_out : plain;
    const int operands =
        a_transposed * transpose_a + b_transposed * transpose_b + b_packed * laid_out.has_value();
    const TileGrid biases = bias ? to.in(2, y.cols, Cuts(1)) : TileGrid{};
    const TileGrid added = residual ? to.in(bias ? 3 : 2, y.rows, y.cols) : TileGrid{};
    for (int i = 0; i < y.rows.count(); ++i)
      for (int j = 0; j < y.cols.count(); ++j)
        to.reduce(y(i, j), over, [&](int k, TileId sum, bool first) {
          std::vector<Access> accesses{read(transpose_a ? left(k, i) : left(i, k)),
                                       read(transpose_b ? right(j, k) : right(k, j))};
          const bool with_bias = bias && k == 0, with_residual = residual && k == 0;
          if (with_bias) accesses.push_back(read(biases(j)));
          if (with_residual) accesses.push_back(read(added(i, j)));
          accesses.push_back(first ? write(sum) : update(sum));
          to.task(laid_out ? packed_kernel : matmul_kernel, std::move(accesses),
                  {.flops = 2.0 * static_cast<double>(y.rows.size(i) * y.cols.size(j) * over.size(k)),
                   .index = {i, j},
                   .params = {first, with_bias, with_residual, operands}});
        });
  }

  void reference(HostIn in, HostOut y) const override {
    const int64_t depth = transpose_a ? in[0].rows() : in[0].cols();
    for (int64_t r = 0; r < y[0].rows(); ++r)
      for (int64_t c = 0; c < y[0].cols(); ++c) {
        double sum = bias ? in[2][static_cast<size_t>(c)] : 0;
        for (int64_t k = 0; k < depth; ++k)
          sum += (transpose_a ? in[0](k, r) : in[0](r, k)) * (transpose_b ? in[1](c, k) : in[1](k, c));
        y[0](r, c) = sum + (residual ? in[bias ? 3 : 2](r, c) : 0);
      }
  }
};

std::vector<Case> cases(DType t) {
  std::vector<Case> list;
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      const Dim m("rows", 45), k("inner", 19), n("cols", 13);
      list.push_back(
          {.name = std::string("ragged, ") + (ta ? "Aᵀ" : "A") + (tb ? "Bᵀ" : "B"),
           .op = std::make_shared<Matmul>(MatmulOptions{.transpose_a = ta, .transpose_b = tb}),
           .inputs = {{{ta ? Shape{k, m} : Shape{m, k}, t}}, {{tb ? Shape{n, k} : Shape{k, n}, t}}},
           .tiling = "rows=8x2|8,21 inner=4x2|4|4,3 cols=8,5",
           .sum_length = 45});
    }
  auto full = std::make_shared<Matmul>(MatmulOptions{});
  full->bias = full->residual = true;
  list.push_back({.name = "bias and residual",
                  .op = full,
                  .inputs = {{{{{"rows", 9}, {"inner", 20}}, t}},
                             {{{{"inner", 20}, {"cols", 7}}, t}},
                             {{{{"cols", 7}}, DType::f32}},
                             {{{{"rows", 9}, {"cols", 7}}, t}}},
                  .tiling = "rows=4,5 inner=8|12 cols=4,3",
                  .sum_length = 20,
                  .check_gradient = false});
  list.push_back({.name = "f32 result",
                  .op = std::make_shared<Matmul>(MatmulOptions{.transpose_a = true, .out = DType::f32}),
                  .inputs = {{{{{"rows", 24}, 5}, t}}, {{{{"rows", 24}, 6}, t}}},
                  .tiling = "rows=4x2|4x2|8",
                  .sum_length = 24});
  list.push_back({.name = "unlike cuts",
                  .op = std::make_shared<Matmul>(MatmulOptions{}),
                  .inputs = {{{{8, {"inner", 12}}, t}}, {{{{"other", 12}, 6}, t}}},
                  .tiling = "inner=6x2 other=5,7",
                  .sum_length = 12});
  const Dim wide("cols", 4200);
  list.push_back({.name = "one row, bias and residual",
                  .op = full,
                  .inputs = {{{{1, {"inner", 21}}, t}},
                             {{{{"inner", 21}, wide}, t}},
                             {{{wide}, DType::f32}},
                             {{{1, wide}, t}}},
                  .tiling = "inner=10|11",
                  .sum_length = 21,
                  .check_gradient = false});
  list.push_back({.name = "few rows, Bᵀ",
                  .op = std::make_shared<Matmul>(MatmulOptions{.transpose_b = true}),
                  .inputs = {{{{6, 83}, t}}, {{{{"cols", 7}, 83}, t}}},
                  .tiling = "cols=4,3",
                  .sum_length = 83});
  list.push_back({.name = "sixteen rows, Bᵀ",  // whole tiles of matrix units, and columns beside them
                  .op = std::make_shared<Matmul>(MatmulOptions{.transpose_b = true}),
                  .inputs = {{{{16, 64}, t}}, {{{{"cols", 54}, 64}, t}}},
                  .tiling = "cols=33,21",
                  .sum_length = 64});
  list.push_back({.name = "size one",
                  .op = std::make_shared<Matmul>(MatmulOptions{}),
                  .inputs = {{{{1, 1}, t}}, {{{1, 1}, t}}}});
  return list;
}

}  // namespace

Tensor matmul(Tensor a, Tensor b, const MatmulOptions& options) {
  return a.graph->apply1(std::make_shared<Matmul>(options), {a, b});
}

OpEntry matmul_entry() { return {"matmul", {&matmul_kernel}, cases}; }

}  // namespace tessera
