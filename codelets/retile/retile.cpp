// retile: what it means, its tiles and its kernel, which only moves bytes.
// SPDX-License-Identifier: Apache-2.0
#include "codelets/retile/retile.hpp"

#include <algorithm>
#include <cstring>

#include "runtime/core/error.hpp"
#include "runtime/plan/lowering.hpp"

namespace tessera {

void retile_gpu(const TileArgs& args, DeviceQueue& queue);

namespace {

// The last tile is filled from the overlaps of the others with it.
void retile_cpu(const TileArgs& args) {
  const TileView& to = args[args.count() - 1];
  const auto element = static_cast<int64_t>(size_of(to.dtype));
  for (size_t k = 0; k + 1 < args.count(); ++k) {
    const TileView& from = args[k];
    const int64_t r0 = std::max(from.row0, to.row0), r1 = std::min(from.row0 + from.rows, to.row0 + to.rows);
    const int64_t c0 = std::max(from.col0, to.col0), c1 = std::min(from.col0 + from.cols, to.col0 + to.cols);
    for (int64_t r = r0; r < r1; ++r)
      std::memcpy(to.as<std::byte>() + ((r - to.row0) * to.cols + c0 - to.col0) * element,
                  from.as<std::byte>() + ((r - from.row0) * from.cols + c0 - from.col0) * element,
                  static_cast<size_t>((c1 - c0) * element));
  }
}

const Kernel retile_kernel{.name = "retile", .cpu = retile_cpu, .gpu = retile_gpu, .light = true};

struct Retile final : Op {
  Shape shape;

  explicit Retile(Shape s) : shape(std::move(s)) {}
  std::string_view name() const override { return "retile"; }

  std::vector<TensorType> infer(std::span<const TensorType> in) const override {
    if (!in[0].shape.same_sizes(shape))
      throw error("retile: {} to {}", to_string(in[0].shape), to_string(shape));
    return {{shape, in[0].dtype}};
  }
  std::vector<Tensor> grad(const GradArgs& args) const override {
    return {retile(args.d_out[0], args.in[0].shape())};
  }

  void lower(Lowering& to) const override {
    const TileGrid& x = to.in(0);
    const TileGrid& y = to.out(0);
    for (int i = 0; i < y.rows.count(); ++i)
      for (int j = 0; j < y.cols.count(); ++j) {
        std::vector<Access> accesses;
        for (int a = x.rows.cut_of(y.rows.begin(i)); a <= x.rows.cut_of(y.rows.end(i) - 1); ++a)
          for (int b = x.cols.cut_of(y.cols.begin(j)); b <= x.cols.cut_of(y.cols.end(j) - 1); ++b)
            accesses.push_back(read(x(a, b)));
        accesses.push_back(write(y(i, j)));
        to.task(retile_kernel, std::move(accesses), {.index = {i, j}});
      }
  }

  void reference(HostIn in, HostOut out) const override { out[0].values = in[0].values; }
};

std::vector<Case> cases(DType t) {
  return {
      {.name = "join",
       .op = std::make_shared<Retile>(Shape{{"rows", 9}, 19}),
       .inputs = {{{{{"rows", 9}, {"cols", 19}}, t}}},
       .tiling = "rows=4,4|1 cols=16,3"},
      {.name = "shift",
       .op = std::make_shared<Retile>(Shape{{"other", 9}, {"width", 19}}),
       .inputs = {{{{{"rows", 9}, {"cols", 19}}, t}}},
       .tiling = "rows=4,4|1 cols=16,3 other=2x4,1 width=5,5,9"},
  };
}

}  // namespace

Tensor retile(Tensor x, const Shape& shape) {
  return x.shape() == shape ? x : x.graph->apply1(std::make_shared<Retile>(shape), {x});
}

OpEntry retile_entry() { return {"retile", {&retile_kernel}, cases}; }

}  // namespace tessera
