// How variables lie that are only read: as all of their readers want them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

// What the op wants all tiles of its input to be; null where it is row by row, or one kind of tile wants
// something else.
const TileLayout* wanted(const Plan& plan, const Node& node, int input) {
  std::vector<TensorType> types;
  for (Tensor in : node.in) types.push_back(plan.program.tensors[static_cast<size_t>(in.id)].type);
  const Shape& shape = types[static_cast<size_t>(input)].shape;
  if (shape.rank() != 2) return nullptr;
  const Cuts rows = plan.tiling.cuts(shape[0]), cols = plan.tiling.cuts(shape[1]);
  const TileLayout* layout = nullptr;
  for (int i = 0; i < rows.count(); ++i)
    for (int j = 0; j < cols.count(); ++j) {
      const TileLayout* of_tile = node.op->layout(input, types, rows.size(i), cols.size(j));
      if (!of_tile || (layout && of_tile != layout)) return nullptr;
      layout = of_tile;
    }
  return layout;
}

bool changes(const Node& node, int input) {
  for (size_t k = 0; k < node.out.size(); ++k)
    if (node.op->alias(static_cast<int>(k)) == input) return true;
  return false;
}

}  // namespace

void lay_out_variables(Plan& plan) {
  const Program& program = plan.program;
  plan.layouts.assign(program.tensors.size(), nullptr);
  std::vector<bool> by_rows(program.tensors.size());
  for (size_t id = 0; id < by_rows.size(); ++id)
    by_rows[id] = program.tensors[id].kind != TensorInfo::Kind::variable;
  for (int fetched : program.fetches) by_rows[static_cast<size_t>(fetched)] = true;
  for (const Node& node : program.nodes)
    for (size_t k = 0; k < node.in.size(); ++k) {
      const auto id = static_cast<size_t>(node.in[k].id);
      if (by_rows[id]) continue;
      const int input = static_cast<int>(k);
      const TileLayout* layout = changes(node, input) ? nullptr : wanted(plan, node, input);
      by_rows[id] = !layout || (plan.layouts[id] && plan.layouts[id] != layout);
      plan.layouts[id] = by_rows[id] ? nullptr : layout;
    }
}

}  // namespace tessera
