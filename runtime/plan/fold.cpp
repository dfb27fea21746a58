// Folding: an op whose result has one reader is computed together with it, where the op knows how.
// SPDX-License-Identifier: Apache-2.0
//
//   matmul ─▶ add(bias) ─▶ add(residual)    becomes    matmul with bias and residual
//
// Of the operands of a sum the one that comes last takes it in, so that no op waits, with its inputs kept,
// for others.
#include <algorithm>

#include "runtime/plan/passes.hpp"

namespace tessera {
namespace {

struct Uses {
  int count = 0, node = -1, position = -1;  // which, where it is one
  int producer = -1;
  int in_place_of = -1;  // the input of its producer whose storage it shares
};

void produce(const Node& node, int n, std::vector<Uses>& uses) {
  for (size_t k = 0; k < node.out.size(); ++k) {
    Uses& use = uses[static_cast<size_t>(node.out[k].id)];
    const int source = node.op->alias(static_cast<int>(k));
    use.producer = n;
    use.in_place_of = source >= 0 ? node.in[static_cast<size_t>(source)].id : -1;
  }
}

std::vector<Uses> uses_of(const Program& program) {
  std::vector<Uses> uses(program.tensors.size());
  for (size_t n = 0; n < program.nodes.size(); ++n) {
    const Node& node = program.nodes[n];
    for (size_t k = 0; k < node.in.size(); ++k) {
      Uses& use = uses[static_cast<size_t>(node.in[k].id)];
      ++use.count;
      use.node = static_cast<int>(n);
      use.position = static_cast<int>(k);
    }
    produce(node, static_cast<int>(n), uses);
  }
  for (int id : program.fetches) uses[static_cast<size_t>(id)].count += 2;
  return uses;
}

// The tensor in whose storage it is; itself, unless an op updated that in place.
int storage_of(int id, const std::vector<Uses>& uses) {
  while (uses[static_cast<size_t>(id)].in_place_of >= 0) id = uses[static_cast<size_t>(id)].in_place_of;
  return id;
}

// Whether what the op updates in place is a result of its own that nobody else reads.
bool may_overwrite(const Program& program, const Node& node, const std::vector<Uses>& uses) {
  for (size_t k = 0; k < node.out.size(); ++k)
    if (int source = node.op->alias(static_cast<int>(k)); source >= 0) {
      const auto id = static_cast<size_t>(node.in[static_cast<size_t>(source)].id);
      if (uses[id].count != 1 || uses[id].in_place_of >= 0 ||
          program.tensors[id].kind != TensorInfo::Kind::result)
        return false;
    }
  return true;
}

// Whether a node in between updates in place what this one reads, so that it must not come later.
bool reads_old_values(const Program& program, size_t n, size_t next, const std::vector<Uses>& uses) {
  for (size_t between = n + 1; between < next; ++between)
    for (Tensor out : program.nodes[between].out) {
      if (uses[static_cast<size_t>(out.id)].in_place_of < 0) continue;
      for (Tensor in : program.nodes[n].in)
        if (storage_of(in.id, uses) == storage_of(out.id, uses)) return true;
    }
  return false;
}

// Folds the node into its only reader, which keeps its place in the order; what is left has no op.
void fold_node(Program& program, size_t n, std::vector<Uses>& uses) {
  Node& node = program.nodes[n];
  const Uses use = uses[static_cast<size_t>(node.out[0].id)];
  if (use.count != 1) return;
  for (size_t k = 1; k < node.out.size(); ++k)
    if (uses[static_cast<size_t>(node.out[k].id)].count > 0) return;
  Node& next = program.nodes[static_cast<size_t>(use.node)];
  for (Tensor in : next.in)
    if (uses[static_cast<size_t>(in.id)].producer > static_cast<int>(n)) return;
  std::vector<TensorType> types;
  types.reserve(next.in.size());
  for (Tensor in : next.in) types.push_back(program.tensors[static_cast<size_t>(in.id)].type);
  auto op = node.op->fold(*next.op, use.position, types);
  if (!op || reads_old_values(program, n, static_cast<size_t>(use.node), uses)) return;
  Node folded{std::move(op), node.in, next.out, node.scope, node.backward_of};
  for (size_t k = 0; k < next.in.size(); ++k)
    if (static_cast<int>(k) != use.position) folded.in.push_back(next.in[k]);
  if (!may_overwrite(program, folded, uses)) return;
  for (size_t k = 0; k < folded.in.size(); ++k) {
    Uses& moved = uses[static_cast<size_t>(folded.in[k].id)];
    moved.node = use.node;
    moved.position = static_cast<int>(k);
  }
  produce(folded, use.node, uses);
  next = std::move(folded);
  node = {};
}

}  // namespace

void fold(Program& program) {
  std::vector<Uses> uses = uses_of(program);
  for (size_t n = 0; n < program.nodes.size(); ++n) fold_node(program, n, uses);
  std::erase_if(program.nodes, [](const Node& node) { return !node.op; });
}

}  // namespace tessera
